"""Asking Elasticsearch for aggregations: always the same view of the index, patiently, a page at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import elasticsearch

from ingest.index.patience import patiently
from ingest.index.view import KEEP_ALIVE, LookLostError, is_lost, point_in_time

PAGE: Final = 10_000
"""Far fewer than the 65,536 buckets that Elasticsearch gives at once (``search.max_buckets``)."""


@dataclass(frozen=True)
class Search:
    """Searches that count in a point in time of an index, whatever is written meanwhile.

    :ivar view: the id of the point in time
    :ivar page: buckets of a composite aggregation in one answer
    """

    client: elasticsearch.Elasticsearch
    index: str
    view: str
    retry_for: float
    page: int = PAGE

    def count(self, query: dict[str, Any], aggs: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """How many documents match, and their aggregations.

        :raises LookLostError: the point in time is gone
        :raises IngestError: Elasticsearch does not answer, or refuses
        """

        def search(client: elasticsearch.Elasticsearch) -> dict[str, Any]:
            try:
                answer = client.search(
                    pit={"id": self.view, "keep_alive": KEEP_ALIVE},
                    size=0,
                    query=query,
                    aggs=aggs,
                    track_total_hits=True,
                    allow_partial_search_results=False,
                )
            except elasticsearch.ApiError as error:
                if not is_lost(error):
                    raise
                return {}
            return dict(answer)

        answer = patiently(self.client, search, self.retry_for, f"{self.index} could not be searched")
        if not answer:
            raise LookLostError(f"Elasticsearch lost its view of {self.index}", "see why its nodes restart")
        return int(answer["hits"]["total"]["value"]), dict(answer.get("aggregations", {}))

    def buckets(self, query: dict[str, Any], sources: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
        """The buckets of a composite aggregation in its order, each with its number of documents.

        :raises IngestError: as `count` does, before the first or later
        """
        composite: dict[str, Any] = {"size": self.page, "sources": sources}
        while True:
            found = self.count(query, {"page": {"composite": composite}})[1]["page"]
            for bucket in found["buckets"]:
                yield bucket["key"], bucket["doc_count"]
            if len(found["buckets"]) < self.page:
                return
            composite = composite | {"after": found["after_key"]}


@contextmanager
def searching(client: elasticsearch.Elasticsearch, index: str, retry_for: float) -> Iterator[Search]:
    """Open a point in time for as long as the context lasts.

    :raises IngestError: Elasticsearch does not answer, or refuses
    """
    with point_in_time(client, index, retry_for) as view:
        yield Search(client, index, view, retry_for)
