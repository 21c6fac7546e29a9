"""Loading many repositories: those with nothing new found in few requests, failures tried again at the end."""

import logging
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from ingest import pipeline
from ingest.errors import TransientError
from ingest.index.overview import Noted, Overview, batches
from ingest.many.board import Board
from ingest.many.listing import Wanted
from ingest.many.work import Ended, Task
from ingest.progress import Tally
from ingest.settings import Settings

_log = logging.getLogger(__name__)

_AT_ONCE: Final = 500
"""Repositories whose states are looked up, or noted, in one request."""
OF_ALL: Final = 5
"""The exit code of what would befall the other repositories too."""


def worst(codes: Iterable[int]) -> int:
    """Of exit codes, the one that says most."""
    return min(codes, key=(1, 4, 6, 2, 3, 0).index)


class Executor(Protocol):
    """Works on repositories, several at a time."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Ended]]:
        """Work on each, and tell how it ended."""


@dataclass
class Report:
    """What became of the repositories.

    :ivar lacking: those of whose commits some are not in the index, or not whole
    :ivar failures: of each that failed, its origin, the exit code and the reason
    """

    tally: Tally = field(default_factory=Tally)
    loaded: int = 0
    unchanged: int = 0
    lacking: int = 0
    failures: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The worst."""
        return worst([*(code for _, code, _ in self.failures), 3 if self.lacking else 0])

    def lines(self) -> Iterator[str]:
        """As it is printed: the totals, and a line for each failure."""
        total = self.loaded + self.unchanged + len(self.failures)
        parts = [f"{self.loaded:,} loaded", f"{self.unchanged:,} unchanged", f"{len(self.failures):,} failed"]
        if self.lacking:
            parts.insert(1, f"{self.lacking:,} of them not whole")
        yield f"{total:,} repositories: {', '.join(parts)}"
        for origin, code, reason in sorted(self.failures):
            yield f"  exit {code}  {origin}: {reason}"


class Campaign:
    """One load of many repositories.

    :param settings: ``project`` is for those that are wanted without a label
    """

    def __init__(self, settings: Settings, overview: Overview, board: Board) -> None:
        self.report = Report()
        self._settings = settings
        self._overview = overview
        self._board = board
        self._noted: dict[str, Noted] = {}
        self._unchanged: list[tuple[Task, Noted, float]] = []

    def run(self, wanted: Sequence[Wanted], executor: Executor) -> Report:
        """Load all; what failed in passing is tried again when the others are done.

        :raises IngestError: Elasticsearch cannot be reached, or refused us
        """
        again: list[Task] = []
        for task, ended in executor.run(self._tasks(self._ordered(wanted))):
            if isinstance(ended.error, TransientError) and ended.error.exit_code != OF_ALL:
                _log.info("%s. It is tried again at the end", ended.error.what)
                again.append(task._replace(known=None))
            else:
                self._settle(task, ended)
            if len(self._unchanged) >= _AT_ONCE:
                again += self._note_unchanged()
        again += self._note_unchanged()
        for task, ended in executor.run(again) if again else ():
            self._settle(task, ended)
        return self.report

    def _ordered(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """The largest first, as far as is known, so that none is left alone at the end; new ones before all."""
        commits = self._overview.commits()

        def size(each: Wanted) -> float:
            known = commits.get(each.remote.origin)
            return float("inf") if known is None else known

        return sorted(wanted, key=size, reverse=True)

    def _tasks(self, wanted: Sequence[Wanted]) -> Iterator[Task]:
        """What is to be done, looked up as it is needed."""
        for some in batches(wanted, _AT_ONCE):
            noted = self._as_before(some)
            self._noted |= noted
            for each in some:
                origin = each.remote.origin
                yield Task(each.remote, each.project, noted[origin].snapshot if origin in noted else None)

    def _as_before(self, wanted: Sequence[Wanted]) -> dict[str, Noted]:
        """Those that need no work if their branches and tags are what they were, since the index is what it was."""
        settings = self._settings
        if settings.gitpath is not None:
            return {}
        selection = {"branches": list(settings.branches), "since": settings.since, "until": settings.until}
        noted = self._overview.noted([each.remote.origin for each in wanted])
        same = [
            known
            for each in wanted
            if (known := noted.get(each.remote.origin)) is not None
            and known.selection == selection
            and known.project == (each.project or settings.project)
        ]
        counts = self._overview.documents([known.origin for known in same])
        return {known.origin: known for known in same if counts.get(known.origin, 0) == known.commits}

    def _settle(self, task: Task, ended: Ended) -> None:
        origin = task.remote.origin
        if ended.defect is not None:
            _log.error("%s:\n%s", origin, ended.defect)
            self._fail(origin, 1, "a defect of ingest, see the log")
        elif ended.error is not None:
            if ended.error.exit_code == OF_ALL:
                raise ended.error
            _log.error("%s", ended.error)
            self._fail(origin, ended.error.exit_code, ended.error.what)
        elif ended.tally is None:
            self._unchanged.append((task, self._noted[origin], ended.seconds))
        else:
            self._loaded(origin, ended.tally, ended.seconds)

    def _fail(self, origin: str, code: int, reason: str) -> None:
        self.report.failures.append((origin, code, reason))
        self._board.count(None, failed=True)

    def _loaded(self, origin: str, tally: Tally, seconds: float) -> None:
        report = self.report
        report.tally.add(tally)
        report.lacking += bool(tally.lacking)
        if tally.done or tally.lacking:
            report.loaded += 1
        else:
            report.unchanged += 1
        self._board.count(tally, failed=False)
        self._say(origin, tally, seconds)

    def _say(self, origin: str, tally: Tally, seconds: float) -> None:
        if self._settings.log_format == "json":
            figures: dict[str, Any] = {"origin": origin, "seconds": round(seconds, 3)} | vars(tally)
            _log.info("%s: %s", origin, tally, extra={"figures": figures})

    def _note_unchanged(self) -> list[Task]:
        """Note those with nothing new, and give those that somebody else has been at meanwhile."""
        found, self._unchanged = self._unchanged, []
        host = socket.gethostname()

        def place(origin: str) -> str:
            return f"{host}:{pipeline.place(remotes[origin], self._settings)}"

        remotes = {task.remote.origin: task.remote for task, _, _ in found}
        overtaken = self._overview.note_unchanged([(noted, seconds) for _, noted, seconds in found], place)
        for task, _, seconds in found:
            if task.remote.origin not in overtaken:
                self._loaded(task.remote.origin, Tally(), seconds)
        return [task._replace(known=None) for task, _, _ in found if task.remote.origin in overtaken]
