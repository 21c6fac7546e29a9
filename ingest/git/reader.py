"""Perceval's items, read by several processes at once, as fast as whoever takes them allows."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sized
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from typing import Any, Final, TypeAlias, TypeVar, cast

from ingest.git.commits import Deferred, Source, Unreadable, read_commits, read_merges
from ingest.git.worker import Render, Task, Worker, rendered

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


def read(
    source: Source,
    hashes: Iterable[str],
    render: Render[T],
    *,
    workers: int,
) -> Results[T]:
    """Read commits: each hash gives one result of ``render`` or an :class:`Unreadable`, in no certain order.

    Look-ahead is bounded: a reader whose results are not taken stops. Close the generator to end it early; no
    process outlives it.

    :param hashes: none twice, best in the order of ``git rev-list --reverse --topo-order``; taken as needed
    :param render: turns Perceval's item into a result; its second argument is None, or says why the item's
        diff is missing (its ``files`` are empty then). It is pickled, and so are its results
    :param workers: how many processes read; with 1, or for few commits, this one does

    :raises RepositoryRefusedError: when the mirror is none
    :raises RepositoryUnavailableError: when git or a worker is killed; what was yielded before is whole
    """
    total = len(hashes) if isinstance(hashes, Sized) else None
    remaining = iter(hashes)
    if workers == 1:
        return _read_here(source, remaining, render)
    first = tuple(islice(remaining, _FEW))
    everything = chain(first, remaining)
    if len(first) < _FEW:
        return _read_here(source, everything, render)
    return _read_with_workers(source, _batches(everything, total, workers), render, workers)


def _read_here(source: Source, hashes: Iterator[str], render: Render[T]) -> Results[T]:
    while batch := tuple(islice(hashes, _BATCH)):
        deferred: tuple[str, ...] = ()
        for reading in read_commits(source, batch):
            if isinstance(reading, Deferred):
                deferred = reading.hashes
            else:
                yield rendered(reading, render)
        if deferred:
            for merge in read_merges(source, deferred):
                yield rendered(merge, render)


def _read_with_workers(source: Source, batches: Iterator[tuple[str, ...]], render: Render[T], count: int) -> Results[T]:
    workers: dict[Connection[Any, Any], Worker] = {}
    merges: deque[tuple[str, ...]] = deque()
    try:
        for _ in range(count):
            worker = Worker.start(source, render)
            workers[worker.connection] = worker
        while busy := _hand_out(workers, merges, batches):
            for connection in cast("list[Connection[Any, Any]]", wait(busy)):
                answer = workers[connection].take()
                merges.extend(
                    answer.deferred[start : start + _MERGES] for start in range(0, len(answer.deferred), _MERGES)
                )
                yield from answer.results
    finally:
        for worker in workers.values():
            worker.kill()


def _hand_out(
    workers: Mapping["Connection[Any, Any]", Worker],
    merges: deque[tuple[str, ...]],
    batches: Iterator[tuple[str, ...]],
) -> list["Connection[Any, Any]"]:
    """Give each worker something to do, merges first, so that they are not what is left at the end.

    :return: where answers will come from; empty when all is done
    """
    for already in range(_TASKS_PER_WORKER):
        for worker in workers.values():
            if len(worker.tasks) > already:
                continue
            if merges:
                worker.give(Task(merges.popleft(), merges=True))
            elif batch := next(batches, None):
                worker.give(Task(batch, merges=False))
    return [connection for connection, worker in workers.items() if worker.tasks]


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
