"""Seats: how many processes may read at once, whichever of several programs on this machine started them."""

from contextlib import AbstractContextManager
from pathlib import Path

import filelock


class Seats:
    """So many seats, each a lock on a file in a folder: whoever holds one and is killed has given it back.

    :param folder: one that exists
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._locks = [filelock.FileLock(folder / f"{number}.lock", timeout=0, mode=0o600) for number in range(count)]

    def take(self) -> AbstractContextManager[object] | None:
        """A free seat, given back at the end of the context; None: there is none, look again later."""
        for lock in self._locks:
            if lock.is_locked:
                continue
            try:
                return lock.acquire()
            except filelock.Timeout:
                continue
        return None
