"""Several repositories at a time on this machine, each in a process of its own."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from ingest.git.seats import Seats
from ingest.many.board import Board
from ingest.many.process import Runner
from ingest.many.work import Brief, Ended, Task


class Machine:
    """Works on repositories, so many at a time.

    :param brief: its seats are set here
    :param jobs: repositories at a time, at most
    :param board: shows and keeps what is told meanwhile
    """

    def __init__(self, brief: Brief, jobs: int, board: Board) -> None:
        self._brief = brief
        self._jobs = jobs
        self._board = board

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Ended]]:
        """Work on each, and tell how it ended. Close the generator to end early; no process outlives it.

        Each process has a seat, and reads with it; the seats that are left are for whoever takes them.
        """
        remaining = iter(tasks)
        with tempfile.TemporaryDirectory(prefix="ingest-seats-") as folder:
            count = max(self._brief.settings.workers, self._jobs)
            slots = _Slots(self._brief._replace(folder=Path(folder), seats=count), self._jobs)
            try:
                while busy := slots.fill(remaining):
                    for connection in cast("list[Connection[Any, Any]]", wait(busy)):
                        yield from self._heard(slots, busy[connection])
            finally:
                slots.stop()

    def _heard(self, slots: "_Slots", slot: int) -> Iterator[tuple[Task, Ended]]:
        runner = slots.runners[slot]
        task, message = cast(Task, runner.task), runner.take()
        if isinstance(message, Ended):
            self._board.ended(slot)
            runner.task = None
            yield task, message
        else:
            self._board.heard(slot, task.remote.origin, message)


class _Slots:
    """The processes, by number."""

    def __init__(self, brief: Brief, count: int) -> None:
        self.runners: dict[int, Runner] = {}
        self._brief = brief
        seats = Seats(cast(Path, brief.folder), brief.seats)
        self._seats = {slot: cast("AbstractContextManager[object]", seats.take()) for slot in range(count)}

    def fill(self, tasks: Iterator[Task]) -> dict["Connection[Any, Any]", int]:
        """Give everybody something to do.

        :return: where something will be heard, with the number of the process
        """
        for slot in list(self._seats):
            runner = self.runners.get(slot)
            if runner is not None and runner.task is not None:
                continue
            task = next(tasks, None)
            if task is None:
                self._close(slot)
                continue
            if runner is None or not runner.is_alive:
                self._stop(slot)
                runner = self.runners[slot] = Runner.start(self._brief)
            runner.give(task)
        return {runner.connection: slot for slot, runner in self.runners.items()}

    def stop(self) -> None:
        """End all."""
        for runner in self.runners.values():
            runner.end()
        for slot in list(self._seats):
            self._close(slot)

    def _close(self, slot: int) -> None:
        """There is nothing more to do for it: others take its seat."""
        self._stop(slot)
        self._seats.pop(slot).__exit__(None, None, None)

    def _stop(self, slot: int) -> None:
        runner = self.runners.pop(slot, None)
        if runner is not None:
            runner.end()
            runner.wait()
