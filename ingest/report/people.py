"""Who came, stayed and left: counted person by person, in the order in which Elasticsearch names them."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from ingest.report.periods import Period, month_of
from ingest.report.search import Search

ABSENT: Final = 12
"""Whole months without a commit after which somebody counts as having left."""
NAMELESS: Final = "(no name)"

Months = Counter[int]
"""Commits by month."""


@dataclass
class Shares:
    """How the commits of a period are spread over people.

    :ivar top: commits and name of those with most commits, in no order
    :ivar sizes: how many people have so many commits
    """

    top: list[tuple[int, str]] = field(default_factory=list)
    sizes: Counter[int] = field(default_factory=Counter)

    def add(self, name: str, commits: int, at_most: int) -> None:
        """Count a person."""
        self.sizes[commits] += 1
        (heapq.heappush if len(self.top) < at_most else heapq.heappushpop)(self.top, (commits, name))

    def ranked(self) -> list[tuple[int, str]]:
        """Those with most commits first."""
        return sorted(self.top, key=lambda each: (-each[0], each[1]))

    def people(self) -> int:
        """How many there are."""
        return self.sizes.total()

    def half(self) -> int:
        """How few people made half of the commits."""
        wanted = sum(size * people for size, people in self.sizes.items()) / 2
        count = 0
        for size, people in sorted(self.sizes.items(), reverse=True):
            needed = -(-wanted // size)
            if needed <= people:
                return count + int(needed)
            count, wanted = count + people, wanted - size * people
        return count


@dataclass
class People:
    """The people of a repository, or of all.

    :ivar active: people with a commit, by month
    :ivar came: people with their first commit, by month
    :ivar left: people with their last commit, by month; only where that is long enough ago
    :ivar shares: by the key of the period
    """

    active: Months = field(default_factory=Counter)
    came: Months = field(default_factory=Counter)
    left: Months = field(default_factory=Counter)
    shares: dict[str, Shares] = field(default_factory=dict)

    def add(self, name: str, months: Months, periods: Iterable[Period], now: int, at_most: int) -> None:
        """Count a person.

        :param months: with the number of the person's commits
        :param now: the running month
        :param at_most: people in a list of those with most commits
        """
        self.active.update(months.keys())
        self.came[min(months)] += 1
        if max(months) < now - ABSENT:
            self.left[max(months)] += 1
        for period in periods:
            commits = sum(count for month, count in months.items() if month in period)
            if commits:
                self.shares.setdefault(period.key, Shares()).add(name, commits, at_most)


def count_people(
    search: Search,
    query: dict[str, Any],
    origins: Iterable[str],
    periods: tuple[Period, ...],
    now: int,
    at_most: int,
) -> dict[str | None, People]:
    """The people of each of these repositories, and of everything that the query finds (None).

    A person is a name, as the repository's mailmap spells it. At any time no more is held than one person's months.

    :raises IngestError: Elasticsearch does not answer
    """
    found: dict[str | None, People] = {None: People()} | {origin: People() for origin in origins}
    for name, months in _one_by_one(search, query):
        everywhere: Months = Counter()
        for origin, there in months.items():
            everywhere.update(there)
            if origin in found:
                found[origin].add(name, there, periods, now, at_most)
        found[None].add(name, everywhere, periods, now, at_most)
    return found


def _one_by_one(search: Search, query: dict[str, Any]) -> Iterator[tuple[str, Mapping[str, Months]]]:
    sources: list[dict[str, Any]] = [
        {"name": {"terms": {"field": "author.name", "missing_bucket": True}}},
        {"origin": {"terms": {"field": "origin"}}},
        {"month": {"date_histogram": {"field": "author_date", "calendar_interval": "month"}}},
    ]
    # Who has no name at all, and whose name is empty, come one after the other, and are the same to us.
    buckets = ((key["name"] or "", key["origin"], key["month"], count) for key, count in search.buckets(query, sources))
    for name, group in groupby(buckets, key=itemgetter(0)):
        months: dict[str, Months] = {}
        for _, origin, month, count in group:
            months.setdefault(origin, Counter())[month_of(month)] += count
        yield name or NAMELESS, months
