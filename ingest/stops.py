"""Being told to stop: a signal becomes an exception, so that every ``finally`` on the way out is passed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_ONE_AND_THE_SAME: Final = 1.0
"""Seconds within which signals are one: make and timeout repeat what the terminal, or the system, has sent already."""


class StoppedError(BaseException):
    """SIGINT or SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


@contextmanager
def stopped_by_signals(*, once: bool = False) -> Iterator[None]:
    """Raise a `StoppedError` in the main thread at the first signal; at another one, end at once, without tidying up.

    :param once: however often it is told, let it tidy up
    """
    first: float | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            raise StoppedError(number)
        if not once and time.monotonic() - first > _ONE_AND_THE_SAME:
            os._exit(128 + number)

    heard = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, signal.SIG_DFL)
