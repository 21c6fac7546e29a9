"""Perceval's items, read by several processes at once, as fast as whoever takes them allows."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, cast

from ingest.git.commits import Source, Unreadable
from ingest.git.seats import Seats
from ingest.git.store import Store
from ingest.git.worker import Answer, Render, Task, Worker, answers

__all__ = ["Results", "Source", "Unreadable", "read"]

T = TypeVar("T")
Results: TypeAlias = Generator[T | Unreadable, None, None]

# Git keeps what it has unpacked for its next commits, so few large batches cost it less than many small ones:
# with 512 commits a batch it takes a third more time than with 2,048, which hardly differs from all at once.
_BATCH: Final = 2048
_SMALLEST_BATCH: Final = 256
# A deferred merge takes git a tenth of a second, on its own.
_MERGES: Final = 8
# For fewer commits, workers take longer to start than they save.
_FEW: Final = 4096
# One to read, one to go on with.
_TASKS_PER_WORKER: Final = 2
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def read(
    source: Source,
    hashes: Iterable[str],
    render: Render[T],
    *,
    workers: int,
    seats: Seats | None = None,
    store: Store | None = None,
    decorations: Mapping[str, str] = _NONE,
) -> Results[T]:
    """Read commits: each hash gives one result of ``render`` or an :class:`Unreadable`, in no certain order.

    Look-ahead is bounded: a reader whose results are not taken stops. Close the generator to end it early; no
    process outlives it.

    :param hashes: none twice, best in the order of ``git rev-list --reverse --topo-order``; taken as needed
    :param render: turns Perceval's item into a result; its second argument is None, or says why the item's
        diff is missing (its ``files`` are empty then). It is pickled, and so are its results
    :param workers: how many processes read, at most; with 1, or for few commits, this one does
    :param seats: from which each of them but the first takes one, as they become free; None: all are free
    :param store: what it keeps is taken from it, without asking git, and what git gives is kept in it: whole items
        only. Its grounds are the caller's affair. To be open until the generator is closed
    :param decorations: those of the mirror now (see :mod:`ingest.git.decorations`), for items from the store

    :raises RepositoryRefusedError: when the mirror is none
    :raises RepositoryUnavailableError: when git or a worker is killed; what was yielded before is whole
    """
    total = len(hashes) if isinstance(hashes, Sized) else None
    remaining = iter(hashes)
    first = tuple(islice(remaining, _FEW)) if workers > 1 else ()
    everything = chain(first, remaining)
    if len(first) < _FEW:
        return _read_here(source, _tasks(_batches(everything, None, 1), store, decorations), render, store)
    return _read_with_workers(
        source, _tasks(_batches(everything, total, workers), store, decorations), render, store, workers, seats
    )


def _read_here(source: Source, tasks: Iterator[Task], render: Render[T], store: Store | None) -> Results[T]:
    for task in tasks:
        deferred = yield from _results_here(source, task, render, store)
        if deferred:
            yield from _results_here(source, Task(deferred, merges=True, keep=task.keep), render, store)


def _results_here(
    source: Source, task: Task, render: Render[T], store: Store | None
) -> Generator[T | Unreadable, None, tuple[str, ...]]:
    deferred: tuple[str, ...] = ()
    for answer in answers(source, render, task):
        _keep(answer, store)
        deferred += answer.deferred
        yield from answer.results
    return deferred


def _read_with_workers(
    source: Source, tasks: Iterator[Task], render: Render[T], store: Store | None, count: int, seats: Seats | None
) -> Results[T]:
    workers: dict[Connection[Any, Any], Worker] = {}
    merges: deque[Task] = deque()
    taken = ExitStack()
    try:
        _start(workers, source, render, count, seats, taken)
        while busy := _hand_out(workers, merges, tasks):
            if len(workers) < count and _have_enough_to_do(workers):
                _start(workers, source, render, count, seats, taken)
            for connection in cast("list[Connection[Any, Any]]", wait(busy)):
                answer = workers[connection].take()
                _keep(answer, store)
                merges.extend(_merges(answer.deferred, store))
                yield from answer.results
    finally:
        with taken:
            for worker in workers.values():
                worker.kill()


def _start(
    workers: dict["Connection[Any, Any]", Worker],
    source: Source,
    render: Render[T],
    count: int,
    seats: Seats | None,
    taken: ExitStack,
) -> None:
    """Start workers until there are `count`, or no seat is free; the first needs none."""
    while len(workers) < count:
        if workers and seats is not None:
            seat = seats.take()
            if seat is None:
                return
            taken.enter_context(seat)
        worker = Worker.start(source, render)
        workers[worker.connection] = worker


def _have_enough_to_do(workers: Mapping["Connection[Any, Any]", Worker]) -> bool:
    return all(len(worker.tasks) >= _TASKS_PER_WORKER for worker in workers.values())


def _hand_out(
    workers: Mapping["Connection[Any, Any]", Worker], merges: deque[Task], tasks: Iterator[Task]
) -> list["Connection[Any, Any]"]:
    """Give each worker something to do, merges first, so that they are not what is left at the end.

    :return: where answers will come from; empty when all is done
    """
    for already in range(_TASKS_PER_WORKER):
        for worker in workers.values():
            if len(worker.tasks) > already:
                continue
            if task := merges.popleft() if merges else next(tasks, None):
                worker.give(task)
    return [connection for connection, worker in workers.items() if worker.tasks]


def _keep(answer: Answer, store: Store | None) -> None:
    if store is not None:
        if answer.damaged:
            store.drop(answer.damaged)
        if answer.batch is not None:
            store.add(answer.batch)


def _merges(deferred: Sequence[str], store: Store | None) -> Iterator[Task]:
    for start in range(0, len(deferred), _MERGES):
        keep = store is not None and store.keeps
        yield Task(tuple(deferred[start : start + _MERGES]), merges=True, keep=keep)


def _tasks(batches: Iterable[tuple[str, ...]], store: Store | None, decorations: Mapping[str, str]) -> Iterator[Task]:
    """Each batch as a task, with what is kept of it; as several, where that is much."""
    for batch in batches:
        if store is None:
            yield Task(batch)
            continue
        left = batch
        while left:
            kept, count = store.take(left)
            hashes, left = left[:count], left[count:]
            decorated = tuple((commit, decorations[commit]) for commit in hashes if commit in decorations)
            yield Task(hashes, keep=store.keeps, kept=kept, decorations=decorated)


def _batches(hashes: Iterator[str], total: int | None, workers: int) -> Iterator[tuple[str, ...]]:
    """Contiguous batches, smaller ones at the end, if that is known, so that all workers end together."""
    size, given = _BATCH, 0
    while True:
        if total is not None:
            share = (total - given) // (2 * workers)
            size = min(max(share, _SMALLEST_BATCH), _BATCH)
        batch = tuple(islice(hashes, size))
        if not batch:
            return
        given += len(batch)
        yield batch
