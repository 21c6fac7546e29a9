"""Trying again: growing, capped, jittered pauses, for as long as there may be a point in it."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import elasticsearch

from ingest.errors import ElasticsearchUnavailableError, IngestError
from ingest.index import connection

FIRST_PAUSE = 0.5
"""Seconds; each further pause without progress is twice as long."""
LONGEST_PAUSE = 30.0
"""Seconds."""
LAST_WORDS = 5
"""Seconds that each request of a failed run may take to leave things as they should be."""

T = TypeVar("T")


class Patience:
    """The pauses between attempts at the same thing.

    :param retry_for: seconds without any progress until it is given up
    """

    def __init__(self, retry_for: float) -> None:
        self._retry_for = retry_for
        self.start_anew()

    def start_anew(self) -> None:
        """There was progress."""
        self._pause = FIRST_PAUSE
        self._deadline = time.monotonic() + self._retry_for

    def request_timeout(self) -> float:
        """Seconds to wait for an answer, so that a silent server does not outlast the patience by much."""
        return min(connection.REQUEST_TIMEOUT, max(1.0, self._deadline - time.monotonic()))

    def wait(self, what: str, failure: IngestError) -> None:
        """Pause before the next attempt.

        :param what: could not be done, for the message
        :param failure: of the last attempt
        :raises ElasticsearchUnavailableError: the time without progress is used up
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ElasticsearchUnavailableError(
                f"{what} for {self._retry_for:g} s. {failure.what}",
                f"{failure.advice}; the next run goes on where this one stopped",
            )
        time.sleep(min(left, self._pause * random.uniform(0.5, 1)))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def patiently(
    client: elasticsearch.Elasticsearch, call: Callable[[elasticsearch.Elasticsearch], T], retry_for: float, what: str
) -> T:
    """Call until it succeeds; only what may pass is tried again.

    :param call: is given a client that waits no longer for an answer than there is patience left. It may be called
        again after a request whose answer was lost, so it must be the same twice as once
    :param retry_for: seconds without success until it is given up
    :param what: could not be done, for the message
    :raises ElasticsearchUnavailableError: it did not pass within `retry_for` seconds
    :raises IngestError: another failure of the call, in our words
    """
    patience = Patience(retry_for)
    while True:
        try:
            with connection.explained(client):
                return call(client.options(request_timeout=patience.request_timeout()))
        except ElasticsearchUnavailableError as failure:
            patience.wait(what, failure)
