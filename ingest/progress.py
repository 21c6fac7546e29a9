"""Telling how far it is: a bar on a terminal, a log line now and then elsewhere."""

import logging
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn, Protocol, Self

from tqdm import tqdm

from ingest.text import printable

_log = logging.getLogger(__name__)

LINE_EVERY = 30.0
"""Seconds between two log lines."""


@dataclass
class Tally:
    """What became of the commits so far.

    :ivar indexed: documents that Elasticsearch has taken, incomplete ones among them
    :ivar deleted: documents that are gone
    :ivar incomplete: commits indexed without a part that git could not read
    :ivar cut: commits indexed without their list of files, which was too large
    :ivar unreadable: commits that git could not read at all
    :ivar rejected: documents that Elasticsearch rejected for good
    :ivar retried: documents that were sent again, counted each time
    """

    indexed: int = 0
    deleted: int = 0
    incomplete: int = 0
    cut: int = 0
    unreadable: int = 0
    rejected: int = 0
    retried: int = 0

    @property
    def done(self) -> int:
        """Commits and documents of which it is known what became of them."""
        return self.indexed + self.deleted + self.missing

    @property
    def lacking(self) -> int:
        """Commits that are not in the index, or not whole."""
        return self.incomplete + self.cut + self.missing

    @property
    def damage(self) -> int:
        """Commits that git could not read, or not whole."""
        return self.incomplete + self.unreadable

    @property
    def missing(self) -> int:
        """Commits that are not in the index, or not as they are now."""
        return self.unreadable + self.rejected

    def __str__(self) -> str:
        parts = [
            f"{self.indexed:,} commits indexed",
            *(
                f"{count:,} {what}"
                for count, what in (
                    (self.incomplete + self.cut, "of them incomplete"),
                    (self.deleted, "deleted"),
                    (self.unreadable, "unreadable"),
                )
                if count
            ),
            f"{self.rejected:,} rejected",
        ]
        return ", ".join(parts)

    def add(self, other: "Tally") -> None:
        """Count what another one counted too."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Viewer(Protocol):
    """Who is told how far it is, instead of a bar or log lines."""

    def began(self, total: int | None) -> None:
        """So many commits are expected; None: that cannot be known."""

    def moved(self, tally: Tally) -> None:
        """Something was counted."""


class Progress:
    """Counts the outcomes of one repository and shows them on standard error.

    :param name: what is being loaded
    :param total: commits to expect; None if that cannot be known
    :param show: a bar, rather than a log line now and then
    :param viewer: who is told instead
    """

    def __init__(self, name: str, total: int | None, *, show: bool, viewer: Viewer | None = None) -> None:
        self.tally = Tally()
        self._viewer = viewer
        self._show = show and total != 0
        self._name = name
        self._total = total
        self._next_line = time.monotonic() + LINE_EVERY
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        if self._show:
            name = printable(self._name)
            self._bar = tqdm(desc=name, total=self._total, unit=" commits", file=sys.stderr, dynamic_ncols=True)
        if self._viewer is not None:
            self._viewer.began(self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def indexed(self) -> None:
        """One more commit is indexed."""
        self.tally.indexed += 1
        self._advance()

    def deleted(self) -> None:
        """One more document is deleted."""
        self.tally.deleted += 1
        self._advance()
        self._show_counts()

    def rejected(self) -> None:
        """One more commit is rejected for good."""
        self.tally.rejected += 1
        self._advance()
        self._show_counts()

    def incomplete(self) -> None:
        """One of the indexed commits lacks a part."""
        self.tally.incomplete += 1
        self._show_counts()

    def cut(self) -> None:
        """One of the indexed commits lacks its list of files."""
        self.tally.cut += 1
        self._show_counts()

    def unreadable(self) -> None:
        """One more commit cannot be read."""
        self.tally.unreadable += 1
        self._advance()
        self._show_counts()

    def retried(self, count: int) -> None:
        """So many documents are about to be sent again."""
        self.tally.retried += count
        self._show_counts()

    def _advance(self) -> None:
        if self._viewer is not None:
            self._viewer.moved(self.tally)
        elif self._bar is not None:
            self._bar.update()
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_EVERY
            done = self.tally.done
            _log.info(
                "%s: %s of %s commits, %s rejected, %s retried",
                self._name, f"{done:,}", "?" if self._total is None else f"{self._total:,}",
                f"{self.tally.rejected:,}", f"{self.tally.retried:,}",
            )  # fmt: skip

    def _show_counts(self) -> None:
        if self._bar is not None:
            counts = {name: value for name, value in vars(self.tally).items() if value and name != "indexed"}
            self._bar.set_postfix(counts)
