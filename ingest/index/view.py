"""Hits of a search, page after page, all of them from the index as it was at the first."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import elasticsearch

from ingest.errors import ElasticsearchUnavailableError, IngestError, UsageError
from ingest.index import connection
from ingest.index.patience import patiently

T = TypeVar("T")
KEEP_ALIVE: Final = "5m"
"""So long Elasticsearch remembers what a search looks at, from one page to the next."""
_CLOSED: Final = "index_closed_exception"
"""The one bad request for which no query is at fault."""
_TIMES: Final = 5
_LOST: Final = [dict[str, Any]()]
"""Instead of a page: the view is gone, so that asking for it again is no use."""


class LookLostError(ElasticsearchUnavailableError):
    """Elasticsearch no longer knows what it was looking at: one of its nodes was restarted, or is gone."""


@dataclass(frozen=True)
class View:
    """A search for all hits there are.

    :ivar index: or an alias
    :ivar query: as the search API takes it
    :ivar sort: likewise
    :ivar source: which fields of a document are wanted, likewise
    :ivar size: hits in one page
    :ivar retry_for: seconds without an answer until it is given up
    """

    client: elasticsearch.Elasticsearch
    index: str
    query: dict[str, Any]
    retry_for: float
    sort: Sequence[Any] = ("_shard_doc",)
    source: bool | dict[str, Any] = True
    size: int = 1000

    def hits(self, after: Sequence[Any] | None = None) -> Iterator[dict[str, Any]]:
        """The hits, in order, as they were when the first was asked for.

        :param after: the ``sort`` of the hit to begin behind
        :raises LookLostError: before the first or later
        :raises IngestError: Elasticsearch does not answer
        """
        with point_in_time(self.client, self.index, self.retry_for) as opened:
            while page := self._patiently(partial(self._page, opened, after)):
                if page is _LOST:
                    raise LookLostError(
                        f"Elasticsearch at {connection.shown(self.client)} keeps losing its view of {self.index}",
                        "see why its nodes restart",
                    )
                yield from page
                after = page[-1]["sort"]

    def each_once(self) -> Iterator[dict[str, Any]]:
        """The hits, in order, each once, even where Elasticsearch loses what it was looking at.

        The order must be one in which no two hits are alike, and which lasts: not that of relevance, nor of
        ``_shard_doc``.

        :raises LookLostError: that happens again and again
        :raises IngestError: Elasticsearch does not answer
        """
        after: Sequence[Any] | None = None
        lost = 0
        while True:
            try:
                for hit in self.hits(after):
                    # Elasticsearch adds a value of its own, which is of no use in another view.
                    after, lost = hit["sort"][: len(self.sort)], 0
                    yield hit
            except LookLostError:
                lost += 1
                if lost == _TIMES:
                    raise
            else:
                return

    def _page(
        self, opened: str, after: Sequence[Any] | None, client: elasticsearch.Elasticsearch
    ) -> list[dict[str, Any]]:
        try:
            answer = client.search(
                pit={"id": opened, "keep_alive": KEEP_ALIVE},
                query=self.query,
                source=self.source,
                sort=list(self.sort),
                search_after=after,
                size=self.size,
                track_total_hits=False,
                allow_partial_search_results=False,
            )
        except elasticsearch.ApiError as error:
            if not is_lost(error):
                raise
            return _LOST
        return list(answer["hits"]["hits"])

    def _patiently(self, call: Callable[[elasticsearch.Elasticsearch], T]) -> T:
        return searching(self.client, self.index, call, self.retry_for)


@contextmanager
def point_in_time(client: elasticsearch.Elasticsearch, index: str, retry_for: float) -> Iterator[str]:
    """The documents as they are now, whatever is written meanwhile; the id of it, for searches with `KEEP_ALIVE`.

    :raises IngestError: Elasticsearch does not answer, or refuses
    """
    opened: str = searching(
        client, index, lambda patient: patient.open_point_in_time(index=index, keep_alive=KEEP_ALIVE)["id"], retry_for
    )
    try:
        yield opened
    finally:
        # It ends by itself.
        with suppress(IngestError), connection.explained(client):
            client.options(ignore_status=404, request_timeout=1).close_point_in_time(id=opened)


def is_lost(error: elasticsearch.ApiError) -> bool:
    """Whether a point in time is gone, so that asking again is no use."""
    return "search_context_missing_exception" in str(error.body)


def searching(
    client: elasticsearch.Elasticsearch, index: str, call: Callable[[elasticsearch.Elasticsearch], T], retry_for: float
) -> T:
    """Search until Elasticsearch answers, see `patiently`.

    :raises UsageError: it does not take the query
    :raises IngestError: it does not answer, or refuses to
    """

    def understood(client: elasticsearch.Elasticsearch) -> T:
        try:
            return call(client)
        except elasticsearch.BadRequestError as error:
            why = connection.reason(error)
            if _CLOSED in why:
                raise
            raise UsageError(f"Elasticsearch does not take this search ({why})", "ask for less, or otherwise") from None

    return patiently(client, understood, retry_for, f"{index} could not be searched")
