"""Why nothing was found, and what to try instead."""

import re
from collections.abc import Iterator
from typing import Any, Final

from elasticsearch.dsl import Q

from ingest.search.commits import Commits
from ingest.search.query import Request, conditions, query

_CLOSEST: Final = 3
_HASH: Final = re.compile(r"[0-9a-fA-F]{7,64}")


def hints(commits: Commits, request: Request) -> Iterator[str]:
    """Lines that tell how many commits each condition takes away, and what else might have been meant.

    :raises IngestError: Elasticsearch does not answer
    """
    names = [name for name, _ in conditions(request)]
    if request.text.strip():
        names.append("text")
    if len(names) > 1:
        yield from _to_blame(commits, request, names)
    if _HASH.fullmatch(request.text.strip()):
        yield f"to see a commit by its hash: ingest show {request.text.strip()}"
    elif request.text.strip() and not request.text.rstrip().endswith(("*", '"')):
        yield f"words are compared whole; to find longer ones too: {request.text.strip()}*"
    for author in request.authors:
        if not commits.count(query(Request(authors=(author,)))) and (names := _like(commits, author)):
            yield f"no author holds {author}; the closest are {', '.join(names)}"


def _to_blame(commits: Commits, request: Request, names: list[str]) -> Iterator[str]:
    filters = {name: query(request, without={name}).to_dict() for name in names}
    alone = {f"only {name}": query(request, without=set(names) - {name}).to_dict() for name in names}
    found = commits.aggregated(Q("match_all"), {"counts": {"filters": {"filters": filters | alone}}})
    counts = {name: bucket["doc_count"] for name, bucket in found["counts"]["buckets"].items()}
    for name in names:
        shown = "those words" if name == "text" else f"--{name}"
        if counts[name]:
            yield f"without {shown} there would be {counts[name]:,}"
        elif not counts[f"only {name}"]:
            yield f"{shown} alone: nothing matches"


def _like(commits: Commits, author: str) -> list[str]:
    """Authors whose names are nearly that."""
    nearly = Q("match", **{"author.name.text": {"query": author, "fuzziness": "AUTO"}})
    terms: dict[str, Any] = {"field": "author.name", "size": _CLOSEST}
    found = commits.aggregated(nearly, {"names": {"terms": terms}})
    return [bucket["key"] for bucket in found["names"]["buckets"]]
