"""What an index holds of one origin."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

import elasticsearch
from elasticsearch.helpers import ScanError, scan

from ingest.errors import ElasticsearchUnavailableError
from ingest.index import connection
from ingest.index.patience import patiently

_AT_ONCE: Final = 1000
_FIELDS: Final = ("hash", "parents", "refs", "author", "committer", "project")


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

        def count() -> int:
            with connection.explained(self.client):
                self.client.indices.refresh(index=self.index)
                return int(self.client.count(index=self.index, query=self._query)["count"])

        return patiently(count, self.retry_for, f"{self.index} could not be counted")

    def documents(self, *, whole: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
        """The ``_id`` of each document and what of it may change while its commit's hash does not.

        :param whole: all of it instead

        :raises IngestError: Elasticsearch does not answer
        """
        wanted = {"query": self._query, "_source": whole or list(_FIELDS)}
        size = _AT_ONCE if whole else 5 * _AT_ONCE
        try:
            with connection.explained(self.client):
                self.client.indices.refresh(index=self.index)
                for hit in scan(self.client, index=self.index, query=wanted, size=size):
                    yield hit["_id"], hit["_source"]
        except ScanError:
            raise ElasticsearchUnavailableError(
                f"Not all of {self.index} at {connection.shown(self.client)} can be searched", "look at its shards"
            ) from None

    def sources(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Those documents that there are among these, by ``_id``.

        :raises IngestError: Elasticsearch does not answer
        """

        def sources() -> dict[str, dict[str, Any]]:
            with connection.explained(self.client):
                answer = self.client.mget(index=self.index, ids=ids)
            return {each["_id"]: each["_source"] for each in answer["docs"] if each.get("found")}

        return patiently(sources, self.retry_for, f"{self.index} could not be read") if ids else {}

    def origins(self) -> list[str]:
        """Every origin in the index, whichever this one is.

        :raises IngestError: Elasticsearch does not answer
        """
        found: list[str] = []
        after: dict[str, Any] | None = None
        while True:
            page = patiently(lambda: self._origins(after), self.retry_for, f"{self.index} could not be searched")  # noqa: B023
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
            part = wanted[start : start + _AT_ONCE]
            found |= patiently(lambda: self._held(part), self.retry_for, f"{self.index} could not be searched")  # noqa: B023
        return found

    def _origins(self, after: dict[str, Any] | None) -> dict[str, Any]:
        composite: dict[str, Any] = {"size": _AT_ONCE, "sources": [{"origin": {"terms": {"field": "origin"}}}]}
        if after is not None:
            composite["after"] = after
        with connection.explained(self.client):
            answer = self.client.search(index=self.index, size=0, aggs={"origins": {"composite": composite}})
        return dict(answer["aggregations"]["origins"])

    def _held(self, ids: list[str]) -> set[str]:
        with connection.explained(self.client):
            answer = self.client.search(index=self.index, query={"ids": {"values": ids}}, source=False, size=len(ids))
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    @property
    def _query(self) -> dict[str, Any]:
        return {"term": {"origin": self.origin}}
