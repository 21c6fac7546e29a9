"""What an index holds of one origin."""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import elasticsearch

from ingest.errors import ElasticsearchUnavailableError
from ingest.index import connection
from ingest.index.patience import patiently
from ingest.index.view import LookLostError, View

T = TypeVar("T")
_AT_ONCE: Final = 1000
_FIELDS: Final = ("hash", "parents", "refs", "author", "committer", "project", "incomplete")
_TIMES: Final = 5


@dataclass(frozen=True)
class Contents:
    """The documents of one origin in an index.

    :param index: or an alias
    :param retry_for: seconds without an answer until it is given up
    """

    client: elasticsearch.Elasticsearch
    index: str
    origin: str
    retry_for: float

    def count(self) -> int:
        """How many documents there are.

        :raises IngestError: Elasticsearch does not answer
        """

        def count(client: elasticsearch.Elasticsearch) -> int:
            client.indices.refresh(index=self.index)
            answer = client.count(index=self.index, query=self._query)
            if answer["_shards"]["failed"]:
                raise self._incomplete()
            return int(answer["count"])

        return self._patiently(count)

    def documents(self, *, whole: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """The ``_id`` of each document and what of it may change while its commit's hash does not.

        :param whole: all of it instead

        :raises LookLostError: before the first or later; see `anew`
        :raises IngestError: Elasticsearch does not answer
        """
        self._patiently(lambda client: client.indices.refresh(index=self.index))
        source, size = (True, _AT_ONCE) if whole else ({"includes": list(_FIELDS)}, 5 * _AT_ONCE)
        view = View(self.client, self.index, self._query, self.retry_for, source=source, size=size)
        for hit in view.hits():
            yield hit["_id"], hit["_source"]

    def sources(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Those documents that there are among these, by ``_id``.

        :raises IngestError: Elasticsearch does not answer
        """

        def sources(client: elasticsearch.Elasticsearch) -> dict[str, dict[str, Any]]:
            docs = client.mget(index=self.index, ids=ids)["docs"]
            if any("error" in each for each in docs):
                raise self._incomplete()
            return {each["_id"]: each["_source"] for each in docs if each["found"]}

        return self._patiently(sources) if ids else {}

    def origins(self) -> list[str]:
        """Every origin in the index, whichever this one is.

        :raises IngestError: Elasticsearch does not answer
        """
        found: list[str] = []
        after: dict[str, Any] | None = None
        while True:
            page = self._patiently(partial(self._origins, after))
            found += [bucket["key"]["origin"] for bucket in page["buckets"]]
            after = page.get("after_key")
            if after is None:
                return found

    def holds(self, ids: Collection[str]) -> set[str]:
        """Which of these ``_id`` there are.

        :raises IngestError: Elasticsearch does not answer
        """
        wanted, found = sorted(ids), set()
        for start in range(0, len(wanted), _AT_ONCE):
            found |= self._patiently(partial(self._held, wanted[start : start + _AT_ONCE]))
        return found

    def _origins(self, after: dict[str, Any] | None, client: elasticsearch.Elasticsearch) -> dict[str, Any]:
        composite: dict[str, Any] = {"size": _AT_ONCE, "sources": [{"origin": {"terms": {"field": "origin"}}}]}
        if after is not None:
            composite["after"] = after
        answer = client.search(
            index=self.index,
            size=0,
            aggs={"origins": {"composite": composite}},
            allow_partial_search_results=False,
        )
        return dict(answer["aggregations"]["origins"])

    def _held(self, ids: list[str], client: elasticsearch.Elasticsearch) -> set[str]:
        answer = client.search(
            index=self.index,
            query={"ids": {"values": ids}},
            source=False,
            size=len(ids),
            allow_partial_search_results=False,
        )
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    def _patiently(self, call: Callable[[elasticsearch.Elasticsearch], T]) -> T:
        return patiently(self.client, call, self.retry_for, f"{self.index} could not be searched")

    def _incomplete(self) -> ElasticsearchUnavailableError:
        return ElasticsearchUnavailableError(
            f"Not all of {self.index} at {connection.shown(self.client)} can be searched", "look at its shards"
        )

    @property
    def _query(self) -> dict[str, Any]:
        return {"term": {"origin": self.origin}}


def anew(look: Callable[[], T]) -> T:
    """Look at documents, from the beginning where the look was lost.

    :raises LookLostError: that happens again and again
    :raises IngestError: what `look` raises
    """
    for _ in range(_TIMES - 1):
        with suppress(LookLostError):
            return look()
    return look()
