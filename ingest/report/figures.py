"""The figures of the page: plain numbers, got from Elasticsearch's aggregations alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import elasticsearch

from ingest.errors import UsageError
from ingest.index.contents import anew
from ingest.report import folders
from ingest.report.hours import Hours, count_hours
from ingest.report.people import People, Shares, count_people
from ingest.report.periods import EARLIEST, Period, month_of, offered, start_of, this_month
from ingest.report.search import Search, searching

REPOSITORIES: Final = 20
"""Repositories with charts of their own, those with most commits; the total holds the others too."""
RANKS: Final = 10
"""Lines of a list."""
PATHS: Final = 10_000
"""Paths, those changed by most commits, among which folders are looked for."""
WORK: Final[dict[str, Any]] = {"filter": {"term": {"is_merge": False}}}
"""Files and lines are counted without merges, whose branches have brought them already."""
TRAILERS: Final = (
    "signed_off_by", "reviewed_by", "acked_by", "tested_by", "co_authored_by", "reported_by", "suggested_by",
    "helped_by", "mentored_by",
)  # fmt: skip
EXACT: Final = 3000
"""So many distinct people of a domain Elasticsearch counts exactly, or nearly."""


class Rank(NamedTuple):
    """A line of a list; no data class, because a page holds thousands of them, and JSON would repeat the names.

    :ivar people: who made these commits
    """

    name: str
    commits: int
    people: int | None = None


@dataclass(frozen=True)
class View:
    """A repository, or all of them, in a period.

    :ivar half: how few people made half of the commits
    :ivar trailers: commits that have such a trailer
    :ivar hours: commits by hour of the week on the author's clock, from Monday midnight on
    """

    commits: int
    people: int
    half: int
    authors: list[Rank]
    domains: list[Rank]
    folders: list[Rank]
    files: list[Rank]
    reviewers: list[Rank]
    trailers: dict[str, int]
    hours: Hours


@dataclass(frozen=True)
class Series:
    """A repository, or all of them, month by month."""

    commits: list[int]
    merges: list[int]
    added: list[int]
    removed: list[int]
    contributors: list[int]
    newcomers: list[int]
    leavers: list[int]


@dataclass(frozen=True)
class Repository:
    """A repository, or all of them.

    :ivar origin: None: all
    :ivar first: date of the oldest commit, ISO 8601
    :ivar last: date of the newest commit
    :ivar series: over all months of the figures
    :ivar views: by the key of the period; only of periods with commits
    :ivar error: Elasticsearch may have missed so many commits in a line of a list, because its shards count apart
    """

    origin: str | None
    first: str
    last: str
    series: Series
    views: dict[str, View]
    error: int


@dataclass(frozen=True)
class Figures:
    """What the page shows.

    :ivar first_month: of all series, as `month_of` counts
    :ivar now_month: the running month
    :ivar commits: all that are counted
    :ivar left_out: commits with dates that cannot be right, which are not counted anywhere
    :ivar count: how many repositories there are
    :ivar repositories: all first, where there are several, then those with most commits
    """

    index: str
    made: str
    first_month: int
    now_month: int
    commits: int
    left_out: int
    count: int
    periods: tuple[Period, ...]
    repositories: list[Repository]


def gather(
    client: elasticsearch.Elasticsearch, index: str, repositories: Sequence[str], retry_for: float, now: datetime
) -> Figures:
    """Ask Elasticsearch for the figures.

    :param index: or an alias
    :param repositories: origins to look at alone; none: all that the index holds
    :param retry_for: seconds without an answer until it is given up
    :raises UsageError: the index holds nothing of one of them
    :raises IngestError: Elasticsearch does not answer, or refuses
    """

    def look() -> Figures:
        with searching(client, index, retry_for) as search:
            return _gather(search, repositories, now.astimezone(UTC))

    return anew(look)


def _gather(search: Search, repositories: Sequence[str], now: datetime) -> Figures:
    wanted: dict[str, Any] = {"terms": {"origin": list(repositories)}} if repositories else {"match_all": {}}
    total, _ = search.count(wanted, {})
    plausible = {"range": {"author_date": {"gte": start_of(EARLIEST), "lte": (now + timedelta(days=1)).isoformat()}}}
    query = {"bool": {"filter": [wanted, plausible]}}
    counted, found = search.count(query, _overview())
    origins = [each["key"] for each in found["origins"]["buckets"]]
    _check(search, repositories)
    made, current = now.isoformat(timespec="seconds"), this_month(now)
    if not counted:
        return Figures(search.index, made, current, current, 0, total, found["count"]["value"], (), [])
    periods = offered((month_of(each["key"]) for each in found["months"]["buckets"]), now)
    people = count_people(search, query, origins, periods, current, RANKS)
    hours = count_hours(search, query, origins, periods)
    alone: list[str | None] = [*origins] if len(origins) == 1 == found["count"]["value"] else [None, *origins]
    each_one = [_repository(search, query, origin, periods, people[origin], hours[origin]) for origin in alone]
    count = found["count"]["value"]
    return Figures(search.index, made, periods[0].first, current, counted, total - counted, count, periods, each_one)


def _overview() -> dict[str, Any]:
    return {
        "origins": {"terms": {"field": "origin", "size": REPOSITORIES}},
        "count": {"cardinality": {"field": "origin", "precision_threshold": EXACT}},
        "months": {"date_histogram": {"field": "author_date", "calendar_interval": "month", "min_doc_count": 1}},
    }


def _check(search: Search, repositories: Sequence[str]) -> None:
    for repository in repositories:
        if not search.count({"term": {"origin": repository}}, {})[0]:
            raise UsageError(
                f"{search.index} holds no commit of {repository}", "name one that ingest status lists, in its spelling"
            )


def _repository(
    search: Search,
    query: dict[str, Any],
    origin: str | None,
    periods: tuple[Period, ...],
    people: People,
    hours: dict[str, Hours],
) -> Repository:
    if origin is not None:
        query = {"bool": {"filter": [query, {"term": {"origin": origin}}]}}
    _, found = search.count(query, _aggregations(periods))
    in_folders = _in_folders(search, query, periods, found["work"]["paths"]["buckets"])
    views, error = {}, 0
    for period in periods:
        bucket = found["periods"]["buckets"][period.key]
        if bucket["doc_count"]:
            views[period.key] = _view(bucket, in_folders[period.key], people.shares[period.key], hours[period.key])
            lists = (bucket["domains"], bucket["reviewers"], bucket["work"]["files"])
            error = max(error, *(each["doc_count_error_upper_bound"] for each in lists))
    first, last = (found[name]["value_as_string"] for name in ("first", "last"))
    return Repository(origin, first, last, _series(found["months"]["buckets"], periods[0], people), views, error)


def _aggregations(periods: Iterable[Period]) -> dict[str, Any]:
    people = {"people": {"cardinality": {"field": "author.name", "precision_threshold": EXACT}}}
    lists: dict[str, Any] = {
        "domains": {"terms": {"field": "author.domain", "size": RANKS}, "aggs": people},
        "work": WORK | {"aggs": {"files": {"terms": {"field": "files.path", "size": RANKS}}}},
        # One reviewer may be there in several spellings.
        "reviewers": {"terms": {"field": "trailers.reviewed_by", "size": 5 * RANKS}},
    }
    trailers = {name: {"exists": {"field": f"trailers.{name}"}} for name in TRAILERS}
    return {
        "first": {"min": {"field": "author_date"}},
        "last": {"max": {"field": "author_date"}},
        "work": WORK | {"aggs": {"paths": {"terms": {"field": "files.path", "size": PATHS}}}},
        "months": {
            "date_histogram": {"field": "author_date", "calendar_interval": "month", "min_doc_count": 1},
            "aggs": {
                "merges": {"filter": {"term": {"is_merge": True}}},
                "work": WORK | {"aggs": {name: {"sum": {"field": f"lines_{name}"}} for name in ("added", "removed")}},
            },
        },
        "periods": {
            "filters": {"filters": {period.key: period.query() for period in periods}},
            "aggs": lists | {"trailers": {"filters": {"filters": trailers}}},
        },
    }


def _in_folders(
    search: Search, query: dict[str, Any], periods: tuple[Period, ...], paths: list[dict[str, Any]]
) -> dict[str, list[Rank]]:
    """The folders that most commits touch, by the key of the period."""
    named = folders.candidates({each["key"]: each["doc_count"] for each in paths})
    if not named:
        return {period.key: [] for period in periods}
    within = {"filters": {"filters": {period.key: period.query() for period in periods}}}
    touching = {"folders": {"filters": {"filters": folders.queries(named)}}}
    _, found = search.count({"bool": {"filter": [query, WORK["filter"]]}}, {"periods": within | {"aggs": touching}})
    return {
        key: _ranked(
            (Rank(folders.shown(name), each["doc_count"]) for name, each in bucket["folders"]["buckets"].items())
        )
        for key, bucket in found["periods"]["buckets"].items()
    }


def _view(bucket: dict[str, Any], in_folders: list[Rank], shares: Shares, hours: Hours) -> View:
    return View(
        commits=bucket["doc_count"],
        people=shares.people(),
        half=shares.half(),
        authors=[Rank(name, commits) for commits, name in shares.ranked()],
        domains=[
            Rank(each["key"], each["doc_count"], each["people"]["value"]) for each in bucket["domains"]["buckets"]
        ],
        folders=in_folders,
        files=[Rank(each["key"], each["doc_count"]) for each in bucket["work"]["files"]["buckets"]],
        reviewers=_by_name(bucket["reviewers"]["buckets"]),
        trailers={name: each["doc_count"] for name, each in bucket["trailers"]["buckets"].items()},
        hours=hours,
    )


def _ranked(ranks: Iterable[Rank]) -> list[Rank]:
    return sorted((rank for rank in ranks if rank.commits), key=lambda rank: (-rank.commits, rank.name))[:RANKS]


def _by_name(buckets: list[dict[str, Any]]) -> list[Rank]:
    """People who are named in a trailer, with their addresses left out."""
    found: dict[str, int] = {}
    for each in buckets:
        name = each["key"].partition("<")[0].strip() or "(no name)"
        found[name] = found.get(name, 0) + each["doc_count"]
    return _ranked(Rank(name, commits) for name, commits in found.items())


def _series(buckets: list[dict[str, Any]], whole: Period, people: People) -> Series:
    months = {month_of(bucket["key"]): bucket for bucket in buckets}
    span = range(whole.first, whole.last + 1)

    def summed(name: str) -> list[int]:
        return [round(months[month]["work"][name]["value"]) if month in months else 0 for month in span]

    return Series(
        commits=[months[month]["doc_count"] if month in months else 0 for month in span],
        merges=[months[month]["merges"]["doc_count"] if month in months else 0 for month in span],
        added=summed("added"),
        removed=summed("removed"),
        contributors=[people.active[month] for month in span],
        newcomers=[people.came[month] for month in span],
        leavers=[people.left[month] for month in span],
    )
