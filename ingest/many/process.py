"""A process that works on one repository at a time, and this program's end of it.

The two talk through a socket, in pickles: first the :class:`~ingest.many.work.Brief`, credentials among it, which so
are in no argument; then one :class:`~ingest.many.work.Task` after the other, each answered by messages, an
:class:`~ingest.many.work.Ended` at last. The process leads a group of its own, so that a terminal's Ctrl-C reaches this
program alone, which then stops it: by SIGTERM, so that it puts things in order.
"""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

from ingest.errors import RepositoryUnavailableError
from ingest.many.work import Brief, Ended, Message, RelayHandler, Task, Work
from ingest.stops import StoppedError, stopped_by_signals

# Not "-m": in a module named __main__, what is pickled would have names that the other end does not know.
_PROGRAM: Final = "from ingest.many.process import main; main()"
_IDLE: Final = 60.0
"""Seconds."""
_GRACE: Final = 30
"""Seconds that a process has to put things in order: it notes in the state that it was interrupted."""


@dataclass
class Runner:
    """A running process, seen from this program.

    :ivar task: what it is working on
    """

    process: subprocess.Popen[bytes]
    connection: "Connection[Any, Any]"
    task: Task | None = None

    @classmethod
    def start(cls, brief: Brief) -> "Runner":
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
        runner = cls(process, ours)
        runner._send(brief)
        return runner

    def give(self, task: Task) -> None:
        """Let it work on a repository. Whether it still lives is told by `take`."""
        self.task = task
        self._send(task)

    def take(self) -> Message:
        """The next that it tells of its task; that it was killed, if it was."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, ConnectionError):
            self._kill()
            origin = "nothing" if self.task is None else self.task.remote.origin
            return Ended(0.0, error=RepositoryUnavailableError(
                f"The process that loads {origin} was killed",
                "it goes on where that one stopped; if this happens again, see whether memory is short",
            ))  # fmt: skip
        return message

    @property
    def is_alive(self) -> bool:
        """Whether it can be given another task."""
        return self.process.poll() is None

    def end(self) -> None:
        """Tell it to stop."""
        # It is not waited for before: until then its process id, and so the group, is nobody else's.
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGTERM)

    def wait(self) -> None:
        """See it gone, with all that it started."""
        # What it still tells would keep it from ending, if nobody took it.
        self.connection.close()
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _send(self, message: object) -> None:
        with suppress(ConnectionError):
            self.connection.send(message)


def main() -> None:
    """Work on what this program asks for until it is gone, or until told to stop."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with suppress(StoppedError), stopped_by_signals(once=True):
        threading.Thread(target=_receive, args=(connection, tasks), daemon=True).start()

        def tell(message: Message) -> None:
            # Where nobody listens any more, _receive ends this process.
            with suppress(ConnectionError):
                connection.send(message)

        brief: Brief = tasks.get()
        _log_to(RelayHandler(tell), logging.WARNING if brief.settings.quiet else logging.INFO)
        work = Work.prepare(brief, tell)
        with suppress(queue.Empty):
            while True:
                tell(work.do(tasks.get(timeout=_IDLE if brief.ends_when_idle else None)))


def _receive(connection: "Connection[Any, Any]", tasks: "queue.SimpleQueue[Any]") -> None:
    """Take tasks as they come, and end with whoever gives them."""
    with suppress(EOFError, ConnectionError, OSError):
        while True:
            tasks.put(connection.recv())
    os.kill(os.getpid(), signal.SIGTERM)


def _log_to(handler: logging.Handler, level: int) -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    log = logging.getLogger("ingest")
    log.setLevel(level)
    log.addHandler(handler)
