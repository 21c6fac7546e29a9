"""Many repositories on many machines: one task of Dask's ``distributed`` for each.

What travels in tasks, and so is seen on Dask's dashboard and in its logs, is what to load, never credentials: each
worker has its own environment for that. A worker's tasks are done by processes of our own, see `ingest.many.process`,
which end with it; what they tell goes through the scheduler, as events.
"""

import logging
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import distributed

from ingest.defect import described
from ingest.errors import RepositoryUnavailableError, SchedulerUnavailableError, UsageError
from ingest.index.rejects import Rejects
from ingest.many.board import Board
from ingest.many.process import Runner
from ingest.many.work import Brief, Ended, Lacking, Logged, Message, Moved, Task
from ingest.progress import Tally
from ingest.settings import Settings

_log = logging.getLogger(__name__)

_TRAVELS: Final = (
    "index", "chunk_size", "chunk_bytes", "retry_for", "branches", "since", "until", "items_bytes", "remote_timeout",
    "project", "wait", "quiet",
)  # fmt: skip
"""The settings that are this run's. The others are each worker's own: where Elasticsearch is, credentials, folders."""
_AHEAD: Final = 1000
"""Tasks that the scheduler is given before the first has ended."""
_GLANCE: Final = 5
"""Seconds between two looks whether the scheduler is still there."""
_CONNECT: Final = 30


class Cluster:
    """Works on repositories on the workers of a scheduler.

    :param scheduler: its address, such as ``tcp://host:8786``
    :param board: shows what is told meanwhile
    """

    def __init__(self, scheduler: str, brief: Brief, board: Board) -> None:
        self._scheduler = scheduler
        self._brief = brief
        self._board = board

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Ended]]:
        """Work on each, and tell how it ended. Close the generator to end early: the workers stop then.

        :raises SchedulerUnavailableError: the scheduler cannot be reached, or is gone
        """
        name = f"ingest-{uuid4().hex}"
        heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._client() as client:
            client.subscribe_topic(name, lambda event: heard.put(event[1]))
            client.register_plugin(Runners(name, _given(self._brief.settings), self._brief.behind))
            try:
                yield from self._worked_on(_Futures(client, name, heard), iter(tasks))
            finally:
                # What waits is forgotten, what runs is stopped.
                with suppress(OSError, TimeoutError):
                    client.unregister_worker_plugin(name)

    def _worked_on(self, futures: "_Futures", tasks: Iterator[Task]) -> Iterator[tuple[Task, Ended]]:
        slots = _Slots()
        futures.submit(islice(tasks, _AHEAD))
        while futures.running:
            message = futures.next(self._scheduler)
            if isinstance(message, Mapping):
                origin = message["origin"]
                self._board.heard(slots.of(origin), origin, _unpacked(message))
                continue
            task, ended = futures.ended(message)
            futures.submit(islice(tasks, 1))
            self._board.ended(slots.leave(task.remote.origin))
            yield task, ended

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            client = distributed.Client(self._scheduler, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SchedulerUnavailableError(
                f"No scheduler answers at {self._scheduler} ({type(error).__name__})", "start one: dask scheduler"
            ) from None
        with client:
            if not client.scheduler_info()["workers"]:
                _log.info("The scheduler at %s has no worker yet: dask worker %s", self._scheduler, self._scheduler)
            yield client


class _Futures:
    """The tasks that the scheduler has, and what is heard of them."""

    def __init__(self, client: Any, name: str, heard: "queue.SimpleQueue[Any]") -> None:
        self.running: dict[str, tuple[Task, Any]] = {}
        self._client = client
        self._name = name
        self._heard = heard

    def submit(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            key = f"{task.remote.origin} {self._name}"
            future = self._client.submit(_work, task, self._name, key=key, pure=False)
            self.running[key] = task, future
            future.add_done_callback(self._heard.put)

    def next(self, scheduler: str) -> Any:
        """An event, or a future that is done."""
        while True:
            with suppress(queue.Empty):
                return self._heard.get(timeout=_GLANCE)
            if self._client.status != "running":
                raise SchedulerUnavailableError(f"The scheduler at {scheduler} is gone", "start it again")

    def ended(self, future: Any) -> tuple[Task, Ended]:
        task, _ = self.running.pop(future.key)
        if future.status == "finished":
            return task, future.result()
        if future.status == "cancelled":
            raise SchedulerUnavailableError("The scheduler has forgotten its tasks", "see its log")
        error = future.exception()
        if isinstance(error, distributed.KilledWorker):
            return task, Ended(0.0, error=RepositoryUnavailableError(
                f"Several workers were lost while they loaded {task.remote.origin}", "see whether their memory is short"
            ))  # fmt: skip
        return task, Ended(0.0, defect=described(error, task.remote))


class _Slots:
    """A small number for each repository that is worked on."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}

    def of(self, origin: str) -> int:
        if origin not in self._taken:
            taken = set(self._taken.values())
            self._taken[origin] = next(number for number in range(len(taken) + 1) if number not in taken)
        return self._taken[origin]

    def leave(self, origin: str) -> int:
        return self._taken.pop(origin, -1)


class Runners(distributed.WorkerPlugin):  # type: ignore[misc]
    """On a worker: the processes that do its tasks, started as they are needed.

    :param name: of the run; also the topic of its events
    :param given: the settings that are the run's, by field name
    :param behind: the index that must be behind the alias
    """

    def __init__(self, name: str, given: dict[str, Any], behind: str) -> None:
        self.name = name
        self._given = given
        self._behind = behind

    def setup(self, worker: Any) -> None:
        """Begin, with this worker's own environment.

        :raises UsageError: it does not say where Elasticsearch is
        """
        settings = Settings.gather(self._given)
        if not settings.es_url:
            raise UsageError(f"The worker {worker.address} has no ES_URL", "set it where the worker is started")
        self._worker = worker
        self._brief = Brief(settings, self._behind, ends_when_idle=True)
        self._lock = threading.Lock()
        self._idle: list[Runner] = []
        self._busy: list[Runner] = []
        self._rejects = Rejects(settings.home / "rejects", settings.index)

    def teardown(self, worker: Any) -> None:
        """End everything."""
        with self._lock:
            runners = [*self._idle, *self._busy]
            self._idle.clear()
        for runner in runners:
            runner.end()

    def do(self, task: Task) -> Ended:
        """Load a repository, and tell of it meanwhile."""
        runner = self._taken()
        runner.give(task)
        while not isinstance(message := runner.take(), Ended):
            self._tell(task.remote.origin, message)
        runner.task = None
        with self._lock:
            self._busy.remove(runner)
            self._idle.append(runner)
        return message

    def _taken(self) -> Runner:
        with self._lock:
            while self._idle and not self._idle[-1].is_alive:
                self._idle.pop().wait()
            runner = self._idle.pop() if self._idle else Runner.start(self._brief)
            self._busy.append(runner)
            return runner

    def _tell(self, origin: str, message: Message) -> None:
        if isinstance(message, Lacking):
            # What was rejected stays here: it may be much, and the scheduler would keep it.
            with self._lock:
                first = self._rejects.path is None
                self._rejects.append(message.line)
            if not first:
                return
            message = Logged(logging.WARNING, f"What is not indexed is listed on {self._worker.address} in "
                             f"{self._rejects.path}", None)  # fmt: skip
        self._worker.log_event(self.name, {"origin": origin} | _packed(message))


def _work(task: Task, name: str) -> Ended:
    runners: Runners = distributed.get_worker().plugins[name]
    return runners.do(task)


def _given(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _TRAVELS}


def _packed(message: Message) -> dict[str, Any]:
    if isinstance(message, Moved):
        return {"total": message.total, "tally": vars(message.tally)}
    assert isinstance(message, Logged)  # noqa: S101 - the others are not sent
    return {"level": message.level, "text": message.text}


def _unpacked(fields: Mapping[str, Any]) -> Message:
    if "tally" in fields:
        return Moved(fields["total"], Tally(**fields["tally"]))
    return Logged(fields["level"], fields["text"], None)
