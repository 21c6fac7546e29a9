"""A process that reads commits for :mod:`ingest.git.reader`, and the reader's end of it.

The two talk through a socket, in pickles. The first message to the worker is (source, render), each further
one a :class:`Task`; what comes back is one :class:`Answer` or several, or an exception instead. Each worker
leads a process group of its own, in which its git runs too: killing the group leaves nothing behind.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from ingest.errors import IngestError, RepositoryUnavailableError
from ingest.git.batch import Batch, Kept, line, packed
from ingest.git.commits import Deferred, Reading, Source, Unreadable, read_commits, read_kept, read_merges
from ingest.settings import environment_for_others

T = TypeVar("T")
Render: TypeAlias = Callable[[dict[str, Any], str | None], T]

# An answer holds so many commits, or files of commits, and so many answers wait to be taken: the look-ahead.
COMMITS_PER_ANSWER: Final = 128
_FILES_PER_ANSWER: Final = 2048
ANSWERS_WAITING: Final = 4
# Not "-m": in a module named __main__, what is pickled would have names that the reader does not know.
_PROGRAM: Final = "from ingest.git.worker import main; main()"


class Task(NamedTuple):
    """Commits to be read.

    ``merges``: whether they are those that an earlier answer deferred.
    ``keep``: whether what git gives is to be kept.
    ``kept``: what need not be asked of git, with the ``decorations`` of those commits that have one.
    """

    hashes: tuple[str, ...]
    merges: bool = False
    keep: bool = False
    kept: Sequence[Kept] = ()
    decorations: tuple[tuple[str, str], ...] = ()


class Answer(NamedTuple):
    """Some results of the task at hand.

    ``hashes``: the commits that these results, or ``deferred``, account for.
    ``batch``: what is to be kept of them.
    ``damaged``: the numbers of kept batches that could not be used.
    ``done``: whether it is the task's last answer.
    """

    results: list[Any]
    hashes: list[str]
    deferred: tuple[str, ...] = ()
    batch: Batch | None = None
    damaged: tuple[int, ...] = ()
    done: bool = False


@dataclass
class Worker:
    """A running worker, seen from the reader.

    :param tasks: of each task handed out and not done, in order, the hashes not accounted for
    """

    process: subprocess.Popen[bytes]
    connection: "Connection[Any, Any]"
    origin: str
    tasks: list[set[str]] = field(default_factory=list)

    @classmethod
    def start(cls, source: Source, render: Render[Any]) -> "Worker":
        # Not multiprocessing's Process: "fork" is unsafe where the caller has threads; the others import the
        # caller's main program again, which takes longer than all that is needed here, and leave helpers.
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())],
                env=environment_for_others() | {"PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        worker = cls(process, ours, source.origin)
        worker._send((source, render))
        return worker

    def give(self, task: Task) -> None:
        self.tasks.append(set(task.hashes))
        self._send(task)

    def take(self) -> Answer:
        """The next answer.

        :raises RepositoryUnavailableError: when the worker was killed
        """
        try:
            answer: Answer | BaseException = self.connection.recv()
        except (EOFError, ConnectionError) as error:
            raise self._died() from error
        if isinstance(answer, BaseException):
            raise answer
        task = self.tasks[0]
        for commit in answer.hashes:
            task.remove(commit)
        if answer.done:
            if task:
                raise RuntimeError(f"{len(task)} commits of {self.origin} were neither read nor reported")
            del self.tasks[0]
        return answer

    def kill(self) -> None:
        """End the worker and its git, and wait for that."""
        self.connection.close()
        # The worker is not waited for before: until then its process id, and so the group, is nobody else's.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except ConnectionError as error:
            raise self._died() from error

    def _died(self) -> RepositoryUnavailableError:
        return RepositoryUnavailableError(
            f"A process that reads {self.origin} was killed",
            "It goes on where this run stopped; if this happens again, see whether memory is short",
        )


def main() -> None:
    """Read what the reader asks for until it is gone."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    try:
        source, render = connection.recv()
    except (EOFError, ConnectionError):
        # The reader is gone already.
        return
    except Exception as error:
        connection.send_bytes(_pickled(error))
        return
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    outgoing: queue.Queue[bytes] = queue.Queue(ANSWERS_WAITING)
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    threading.Thread(target=_send, args=(connection, outgoing), daemon=True).start()
    while True:
        task = tasks.get()
        try:
            for answer in answers(source, render, task):
                outgoing.put(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        except Exception as error:
            outgoing.put(_pickled(error))


def _receive(connection: "Connection[Any, Any]", tasks: "queue.SimpleQueue[Task]") -> None:
    """Take tasks as they come, so that the reader never waits for us with one, and end with the reader."""
    with suppress(EOFError, ConnectionError):
        while True:
            tasks.put(connection.recv())
    os.killpg(0, signal.SIGKILL)


def _send(connection: "Connection[Any, Any]", outgoing: "queue.Queue[bytes]") -> None:
    # Where the reader is gone, _receive ends this process.
    with suppress(ConnectionError):
        while True:
            connection.send_bytes(outgoing.get())


def answers(source: Source, render: Render[Any], task: Task) -> Iterator[Answer]:
    """The answers to a task, read in this process."""
    left = dict.fromkeys(task.hashes)
    damaged: list[int] = []
    kept = read_kept(source, task.kept, dict(task.decorations), left, damaged)
    yield from _gathered(kept, render, keep=False)
    if left:
        yield from _gathered((read_merges if task.merges else read_commits)(source, left), render, keep=task.keep)
    yield Answer([], [], damaged=tuple(damaged), done=True)


def _gathered(
    readings: Iterable[Reading | Unreadable | Deferred], render: Render[Any], *, keep: bool
) -> Iterator[Answer]:
    part = _Part()
    for reading in readings:
        if isinstance(reading, Deferred):
            yield Answer([], list(reading.hashes), reading.hashes)
            continue
        part.add(reading, render, keep=keep)
        if part.full:
            yield part.answer()
            part = _Part()
    if part.results:
        yield part.answer()


@dataclass
class _Part:
    """An answer in the making."""

    results: list[Any] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    lines: dict[str, bytes] = field(default_factory=dict)
    files: int = 0

    @property
    def full(self) -> bool:
        return len(self.results) >= COMMITS_PER_ANSWER or self.files >= _FILES_PER_ANSWER

    def add(self, reading: Reading | Unreadable, render: Render[Any], *, keep: bool) -> None:
        if isinstance(reading, Unreadable):
            self.results.append(reading)
            self.hashes.append(reading.hash)
            return
        data = reading.item["data"]
        self.hashes.append(data["commit"])
        self.files += len(data["files"])
        if keep and reading.problem is None:
            self.lines[data["commit"]] = line(data)
        self.results.append(render(reading.item, reading.problem))

    def answer(self) -> Answer:
        batch = Batch(tuple(self.lines), packed(self.lines.values())) if self.lines else None
        return Answer(self.results, self.hashes, batch=batch)


def _pickled(error: Exception) -> bytes:
    """The error for the reader to raise; a defect as its traceback, which is lost on the way otherwise."""
    if isinstance(error, IngestError):
        return pickle.dumps(error)
    return pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
