"""Commits in groups: how many each author, domain, repository, year or month has."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from elasticsearch.dsl.query import Query

from ingest.search.commits import Commits

_TERMS: Final = {"author": "author.name", "email": "author.email", "domain": "author.domain", "repo": "origin"}
_CALENDAR: Final = {"year": "yyyy", "month": "yyyy-MM"}
KINDS: Final = (*_TERMS, *_CALENDAR)
MOST: Final = 10_000
"""Groups of one request; Elasticsearch's own limit is 65,536 buckets."""
_SUMS: Final = {
    "added": {"sum": {"field": "lines_added"}},
    "removed": {"sum": {"field": "lines_removed"}},
    "first": {"min": {"field": "commit_date", "format": "yyyy-MM-dd"}},
    "last": {"max": {"field": "commit_date", "format": "yyyy-MM-dd"}},
}


@dataclass(frozen=True)
class Group:
    """Commits that have something in common.

    :ivar name: what that is
    :ivar added: lines that they add, in all their files
    :ivar removed: likewise
    :ivar first: commit date of the oldest, UTC; None: none has one
    :ivar last: of the newest
    """

    name: str
    commits: int
    added: int
    removed: int
    first: str | None
    last: str | None

    def to_json(self, kind: str) -> dict[str, Any]:
        """As it is printed with ``--json``."""
        values = asdict(self)
        return {kind: values.pop("name"), **values}


@dataclass(frozen=True)
class Groups:
    """The largest groups, or the latest of the calendar, in the order in which they are shown.

    :ivar total: commits in all
    :ivar more: how many groups there are besides, as Elasticsearch estimates it
    """

    groups: list[Group]
    total: int
    more: int


def grouped(commits: Commits, query: Query, kind: str, limit: int) -> Groups:
    """Put the commits that match into groups.

    :param kind: one of `KINDS`
    :raises UsageError: Elasticsearch does not take the query
    :raises IngestError: Elasticsearch does not answer
    """
    if kind in _CALENDAR:
        found = commits.aggregated(query, {"groups": {"date_histogram": _histogram(kind), "aggs": _SUMS}})
        every = [_group(bucket, bucket["key_as_string"]) for bucket in found["groups"]["buckets"]]
        return Groups(every[-limit:], found["total"], max(0, len(every) - limit))
    field = _TERMS[kind]
    terms = {"field": field, "size": min(limit, MOST), "order": [{"_count": "desc"}, {"_key": "asc"}]}
    found = commits.aggregated(
        query, {"groups": {"terms": terms, "aggs": _SUMS}, "distinct": {"cardinality": {"field": field}}}
    )
    largest = [_group(bucket, bucket["key"]) for bucket in found["groups"]["buckets"]]
    more = found["distinct"]["value"] - len(largest) if found["groups"]["sum_other_doc_count"] else 0
    return Groups(largest, found["total"], max(0, more))


def _histogram(kind: str) -> dict[str, Any]:
    return {"field": "commit_date", "calendar_interval": kind, "format": _CALENDAR[kind], "min_doc_count": 1}


def _group(bucket: dict[str, Any], name: str) -> Group:
    return Group(
        name,
        bucket["doc_count"],
        int(bucket["added"]["value"]),
        int(bucket["removed"]["value"]),
        bucket["first"].get("value_as_string"),
        bucket["last"].get("value_as_string"),
    )
