"""Dates as git prints them by default, such as ``Tue Aug 14 14:30:13 2012 -0300``."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NUMBERS: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001
_DATE: Final = re.compile(
    rf"(?:{'|'.join(_WEEKDAYS)}) (?P<month>{'|'.join(_MONTHS)}) (?P<day>\d\d?)"
    r" (?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d) (?P<year>\d{1,4})"
    r" (?P<sign>[+-])(?P<hours>\d{2,})(?P<minutes>\d\d)",
    re.ASCII,
)


class GitDate(NamedTuple):
    """A moment.

    ``local``: the time that the clock showed, without its zone.
    ``offset``: minutes that this clock was ahead of UTC; git takes numbers far beyond what there is.
    ``exact``: whether :func:`printed` gives back the text that was read.
    """

    local: datetime
    offset: int
    exact: bool = True

    @property
    def timestamp(self) -> float:
        """Seconds since 1970, UTC."""
        return (self.local - _EPOCH).total_seconds() - 60 * self.offset


# A commit's two dates are often the same, and each is asked for more than once.
@lru_cache(maxsize=16)
def read(text: str) -> GitDate | None:
    """Read a date; None where it is not one, or not in git's default format."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    month, day, hour, minute, second, year, sign, hours, minutes = match.groups()
    try:
        local = datetime(int(year), _NUMBERS[month], int(day), int(hour), int(minute), int(second))  # noqa: DTZ001
    except ValueError:
        return None
    offset = int(hours) * 60 + int(minutes)
    date = GitDate(local, -offset if sign == "-" else offset)
    return date if printed(date) == text else date._replace(exact=False)


def printed(date: GitDate) -> str:
    """A date as git prints it."""
    hours, minutes = divmod(abs(date.offset), 60)
    return f"{_clock(date.local)} {'-' if date.offset < 0 else '+'}{hours:02}{minutes:02}"


def from_raw(seconds: int, zone: str) -> str:
    """What git prints for a raw date: seconds since 1970, UTC, and a zone such as ``-0300``."""
    minutes = int(zone[-2:]) + 60 * int(zone[1:-2])
    return f"{_clock(_EPOCH + timedelta(seconds=seconds, minutes=-minutes if zone[0] == '-' else minutes))} {zone}"


def _clock(local: datetime) -> str:
    return (
        f"{_WEEKDAYS[local.weekday()]} {_MONTHS[local.month - 1]} {local.day}"
        f" {local.hour:02}:{local.minute:02}:{local.second:02} {local.year}"
    )
