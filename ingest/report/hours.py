"""When people work: commits by the hour of the week on their authors' own clocks.

Elasticsearch keeps dates in UTC, and the offset from it in a field of its own. So hours are counted for each offset
apart, and shifted by it here. Where an offset is no whole number of hours, minutes are counted instead.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from ingest.report.periods import Period, hour_of_week, month_of, start_of
from ingest.report.search import PAGE, Search

Hours = list[int]
"""Commits by hour of the week, 168 of them from Monday midnight on."""

_OFFSETS: Final = 3000
"""Git knows no more of them than there are minutes in two days."""


def count_hours(
    search: Search, query: dict[str, Any], origins: Iterable[str], periods: tuple[Period, ...]
) -> dict[str | None, dict[str, Hours]]:
    """The hours of each of these repositories, and of everything that the query finds (None), by the period's key.

    :raises IngestError: Elasticsearch does not answer
    """
    month = cache(month_of)
    by_month: dict[str | None, dict[int, Hours]] = {each: {} for each in (None, *origins)}
    for part, interval in _parts(search, query):
        for origin, moment, offset, count in _moments(search, part, interval):
            hour = hour_of_week(moment, offset)
            for each in {None, origin} & by_month.keys():
                by_month[each].setdefault(month(moment), [0] * 168)[hour] += count
    return {
        each: {period.key: _summed(hours for month, hours in months.items() if month in period) for period in periods}
        for each, months in by_month.items()
    }


def _summed(hours: Iterable[Hours]) -> Hours:
    return [sum(counts) for counts in zip([0] * 168, *hours, strict=True)]


def _parts(search: Search, query: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """What to ask for one after the other: a query, and what to count in.

    Some years at a time, because for each page Elasticsearch goes through all that the query finds.
    """
    years = {"date_histogram": {"field": "author_date", "calendar_interval": "year", "min_doc_count": 1}}
    offsets = {"terms": {"field": "author_utc_offset", "size": _OFFSETS}}
    _, found = search.count(query, {"years": years, "offsets": offsets})
    whole: dict[bool, list[int]] = {True: [], False: []}
    for each in found["offsets"]["buckets"]:
        whole[each["key"] % 60 == 0].append(each["key"])
    for first, last in _spans({month_of(each["key"]): each["doc_count"] for each in found["years"]["buckets"]}):
        within = {"range": {"author_date": {"gte": start_of(first), "lt": start_of(last + 12)}}}
        for interval, those in (("1h", whole[True]), ("1m", whole[False])):
            if those:
                yield {"bool": {"filter": [query, within, {"terms": {"author_utc_offset": those}}]}}, interval


def _spans(years: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Years on end that together hold no more commits than fit on a page, or one year."""
    held, commits = list[int](), 0
    for year, count in sorted(years.items()):
        if held and commits + count > PAGE:
            yield held[0], held[-1]
            held, commits = [], 0
        held.append(year)
        commits += count
    if held:
        yield held[0], held[-1]


def _moments(search: Search, query: dict[str, Any], interval: str) -> Iterator[tuple[str, int, int, int]]:
    """Origin, beginning of the interval, offset and number of commits."""
    sources: list[dict[str, Any]] = [
        {"moment": {"date_histogram": {"field": "author_date", "fixed_interval": interval}}},
        {"offset": {"terms": {"field": "author_utc_offset"}}},
        {"origin": {"terms": {"field": "origin"}}},
    ]
    for key, count in search.buckets(query, sources):
        yield key["origin"], key["moment"], key["offset"], count
