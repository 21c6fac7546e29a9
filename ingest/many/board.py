"""Showing how far many repositories are: a bar for the whole and one for each that is worked on, or log lines."""

import logging
import sys
import time
from types import TracebackType
from typing import Final, NoReturn, Self

from tqdm import tqdm

from ingest.index.rejects import Rejects
from ingest.many.work import Lacking, Logged, Message, Moved
from ingest.progress import LINE_EVERY, Tally
from ingest.text import printable

_log = logging.getLogger(__name__)

_WIDEST: Final = 48
_BARS: Final = 16
"""So many repositories have a bar at once."""


class Board:
    """Shows on standard error what is told of repositories, and keeps what is for the file of rejects.

    :param show: bars, rather than a log line now and then
    """

    def __init__(self, total: int, rejects: Rejects, *, show: bool) -> None:
        self._rejects = rejects
        self._show = show
        self._total = total
        self._done = self._failed = self._commits = 0
        self._whole: tqdm[NoReturn] | None = None
        self._bars: dict[int, tqdm[NoReturn]] = {}
        self._next_line = time.monotonic() + LINE_EVERY

    def __enter__(self) -> Self:
        if self._show:
            self._whole = tqdm(
                desc="all", total=self._total, unit=" repositories", file=sys.stderr, dynamic_ncols=True, position=0
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in (*self._bars.values(), self._whole):
            if bar is not None:
                bar.close()

    def heard(self, slot: int, origin: str, message: Message) -> None:
        """Something was told of the repository that is worked on in a slot."""
        if isinstance(message, Logged):
            extra = None if message.figures is None else {"figures": message.figures}
            _log.log(message.level, "%s", message.text, extra=extra)
        elif isinstance(message, Lacking):
            self._rejects.append(message.line)
        elif isinstance(message, Moved):
            self._moved(slot, origin, message)
        self._line()

    def ended(self, slot: int) -> None:
        """The repository in a slot is no longer worked on."""
        bar = self._bars.pop(slot, None)
        if bar is not None:
            bar.close()

    def count(self, tally: Tally | None, *, failed: bool) -> None:
        """One more repository is done with."""
        self._done += 1
        self._failed += failed
        self._commits += 0 if tally is None else tally.done
        if self._whole is not None:
            self._whole.update()
            self._whole.set_postfix(failed=self._failed, commits=self._commits)
        self._line()

    def _moved(self, slot: int, origin: str, message: Moved) -> None:
        if not self._show or slot >= _BARS:
            return
        bar = self._bars.get(slot)
        if bar is None:
            bar = self._bars[slot] = tqdm(
                desc=printable(origin)[-_WIDEST:], total=message.total, unit=" commits", file=sys.stderr,
                dynamic_ncols=True, position=slot + 1, leave=False,
            )  # fmt: skip
        bar.total = message.total
        bar.update(message.tally.done - bar.n)

    def _line(self) -> None:
        if not self._show and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_EVERY
            _log.info(
                "%s of %s repositories done, %s failed; %s commits",
                f"{self._done:,}", f"{self._total:,}", f"{self._failed:,}", f"{self._commits:,}",
            )  # fmt: skip
