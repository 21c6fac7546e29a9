"""Months, and the periods that the page offers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

YEARS: Final = 15
"""Calendar years offered, the newest ones that hold commits; older ones are part of all time."""
EARLIEST: Final = 1971 * 12
"""The first month of which a date is believed: an unreadable one is often taken for the first second of 1970."""

_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class Period:
    """Some months on end, in UTC.

    :ivar key: short name, unique on the page
    :ivar first: first month, as `month_of` counts them
    :ivar last: last month
    """

    key: str
    label: str
    first: int
    last: int

    def __contains__(self, month: int) -> bool:
        return self.first <= month <= self.last

    def query(self) -> dict[str, object]:
        """What finds the commits of this period."""
        return {"range": {"author_date": {"gte": start_of(self.first), "lt": start_of(self.last + 1)}}}


def month_of(milliseconds: float) -> int:
    """The month in UTC of a time that is given in milliseconds since 1970: its year times 12, and 0 to 11."""
    date = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return date.year * 12 + date.month - 1


def start_of(month: int) -> str:
    """Its first moment, as Elasticsearch reads it."""
    return f"{month // 12:04}-{month % 12 + 1:02}-01T00:00:00Z"


def this_month(now: datetime) -> int:
    """The month of a time."""
    return month_of(now.timestamp() * 1000)


def offered(months: Iterable[int], now: datetime) -> tuple[Period, ...]:
    """All time, the last twelve months, and the newest years.

    :param months: those that hold commits, at least one
    """
    held, current = sorted(months), this_month(now)
    years = sorted({month // 12 for month in held}, reverse=True)[:YEARS]
    return (
        Period("all", "all time", held[0], max(current, held[-1])),
        Period("recent", "last 12 months", current - 11, current),
        *(Period(str(year), str(year), year * 12, year * 12 + 11) for year in years),
    )


def hour_of_week(milliseconds: int, utc_offset: int) -> int:
    """The hour of the week, from 0, which begins on Monday, to 167, where clocks are so many minutes ahead of UTC."""
    hours = (milliseconds + utc_offset * 60_000) // _HOUR_MS
    # The first of January 1970 was a Thursday.
    return (hours + 3 * 24) % 168
