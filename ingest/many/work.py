"""One repository of many: what is to be done with it, and what is told of it meanwhile and at its end."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from ingest import pipeline
from ingest.defect import described
from ingest.errors import IngestError
from ingest.git.remote import Remote
from ingest.git.seats import Seats
from ingest.git.snapshot import Snapshot
from ingest.index import connection
from ingest.index.rejects import Rejects
from ingest.index.state import State
from ingest.pipeline import Job
from ingest.progress import Tally
from ingest.settings import Settings

_TELL_EVERY: Final = 0.25
"""Seconds between two messages that say how far it is."""


class Brief(NamedTuple):
    """What all repositories of a run have in common.

    ``settings``: with the URLs of an Elasticsearch that runs.
    ``behind``: the index that must be behind the alias.
    ``folder``, ``seats``: how many processes may read at once, and where they take their seats; None: each for itself.
    ``ends_when_idle``: a process that has had no task for a while ends by itself.
    """

    settings: Settings
    behind: str
    folder: Path | None = None
    seats: int = 0
    ends_when_idle: bool = False


class Task(NamedTuple):
    """A repository to be worked on.

    ``known``: what it looked like when the index was made equal to it; None: it is to be loaded in any case.
    """

    remote: Remote
    project: str | None = None
    known: Snapshot | None = None


class Logged(NamedTuple):
    """A log line."""

    level: int
    text: str
    figures: dict[str, Any] | None


class Moved(NamedTuple):
    """How far it is. ``total``: commits to expect; None: unknown."""

    total: int | None
    tally: Tally


class Lacking(NamedTuple):
    """A line for the file of rejects."""

    line: bytes


class Ended(NamedTuple):
    """The last that is told of a repository.

    ``tally``: None: nothing was to be done, or it failed.
    ``error``: why it failed; None: it did not.
    ``defect``: where it failed by a defect of this program, the traceback.
    """

    seconds: float
    tally: Tally | None = None
    error: IngestError | None = None
    defect: str | None = None


Message: TypeAlias = Logged | Moved | Lacking | Ended
Tell: TypeAlias = Callable[[Message], None]


@dataclass(frozen=True)
class Work:
    """Works on one repository after the other, in a process of its own."""

    job: Job
    tell: Tell

    @classmethod
    def prepare(cls, brief: Brief, tell: Tell) -> "Work":
        """Make what all repositories need.

        :raises UsageError: the settings say nothing about where Elasticsearch is
        """
        settings = brief.settings
        client = connection.of(settings)
        target = pipeline.target_at(client, settings, settings.index, brief.behind)
        state = State(client, settings.index, brief.behind, settings.retry_for)
        seats = None if brief.folder is None else Seats(brief.folder, brief.seats)
        return cls(Job(settings, target, state, _Told(tell, settings), False, viewer=_Viewer(tell), seats=seats), tell)

    def do(self, task: Task) -> Ended:
        """Load a repository, if there is anything new in it."""
        started = time.monotonic()
        project = task.project or self.job.settings.project
        job = replace(self.job, settings=replace(self.job.settings, project=project))
        try:
            tally = None
            if task.known is None or pipeline.has_news(task.remote, job, task.known):
                tally = pipeline.load(task.remote, job)
            return Ended(time.monotonic() - started, tally)
        except IngestError as error:
            return Ended(time.monotonic() - started, error=error)
        except Exception as error:
            return Ended(time.monotonic() - started, defect=described(error, task.remote))


class RelayHandler(logging.Handler):
    """Hands log lines on to whoever shows them."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a log line on."""
        self._tell(Logged(record.levelno, record.getMessage(), getattr(record, "figures", None)))


class _Told(Rejects):
    """Hands the lines on to whoever keeps the file."""

    def __init__(self, tell: Tell, settings: Settings) -> None:
        super().__init__(settings.home / "rejects", settings.index)
        self._tell = tell

    def append(self, line: bytes) -> None:
        self._tell(Lacking(line))


class _Viewer:
    """Tells now and then how far it is."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._total: int | None = None
        self._next = 0.0

    def began(self, total: int | None) -> None:
        self._total = total
        if total != 0:
            self._tell(Moved(total, Tally()))

    def moved(self, tally: Tally) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_EVERY
            self._tell(Moved(self._total, tally))
