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
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from ingest.errors import IngestError, RepositoryUnavailableError
from ingest.git.commits import Deferred, Reading, Source, Unreadable, read_commits, read_merges

T = TypeVar("T")
Render: TypeAlias = Callable[[dict[str, Any], str | None], T]

# An answer holds so many commits, or files of commits, and so many answers wait to be taken: the look-ahead.
COMMITS_PER_ANSWER: Final = 128
_FILES_PER_ANSWER: Final = 2048
ANSWERS_WAITING: Final = 4
# Not "-m": in a module named __main__, what is pickled would have names that the reader does not know.
_PROGRAM: Final = "from ingest.git.worker import main; main()"


class Task(NamedTuple):
    """Commits to be read; ``merges``: those that an earlier answer deferred."""

    hashes: tuple[str, ...]
    merges: bool


class Answer(NamedTuple):
    """Some results of the task at hand.

    ``hashes``: the commits that these results, or ``deferred``, account for.
    ``done``: whether it is the task's last answer.
    """

    results: list[Any]
    hashes: list[str]
    deferred: tuple[str, ...] = ()
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
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
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
    except Exception as error:
        connection.send_bytes(_pickled(error))
        return
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    answers: queue.Queue[bytes] = queue.Queue(ANSWERS_WAITING)
    threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()
    threading.Thread(target=_send, args=(connection, answers), daemon=True).start()
    while True:
        task = tasks.get()
        try:
            for answer in _answers(source, render, task):
                answers.put(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
        except Exception as error:
            answers.put(_pickled(error))


def _receive(connection: "Connection[Any, Any]", tasks: "queue.SimpleQueue[Task]") -> None:
    """Take tasks as they come, so that the reader never waits for us with one, and end with the reader."""
    with suppress(EOFError, ConnectionError):
        while True:
            tasks.put(connection.recv())
    os.killpg(0, signal.SIGKILL)


def _send(connection: "Connection[Any, Any]", answers: "queue.Queue[bytes]") -> None:
    # Where the reader is gone, _receive ends this process.
    with suppress(ConnectionError):
        while True:
            connection.send_bytes(answers.get())


def _answers(source: Source, render: Render[Any], task: Task) -> Iterator[Answer]:
    answer, files = Answer([], []), 0
    readings = (read_merges if task.merges else read_commits)(source, task.hashes)
    for reading in readings:
        if isinstance(reading, Deferred):
            yield Answer([], list(reading.hashes), reading.hashes)
            continue
        answer.results.append(rendered(reading, render))
        if isinstance(reading, Unreadable):
            answer.hashes.append(reading.hash)
        else:
            answer.hashes.append(reading.item["data"]["commit"])
            files += len(reading.item["data"]["files"])
        if len(answer.results) >= COMMITS_PER_ANSWER or files >= _FILES_PER_ANSWER:
            yield answer
            answer, files = Answer([], []), 0
    yield answer._replace(done=True)


def rendered(reading: Reading | Unreadable, render: Render[T]) -> T | Unreadable:
    return reading if isinstance(reading, Unreadable) else render(reading.item, reading.problem)


def _pickled(error: Exception) -> bytes:
    """The error for the reader to raise; a defect as its traceback, which is lost on the way otherwise."""
    if isinstance(error, IngestError):
        return pickle.dumps(error)
    return pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
