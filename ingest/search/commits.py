"""The commits in an index: counted, looked at, or streamed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import elasticsearch
from elasticsearch.dsl.query import Query

from ingest.errors import UsageError
from ingest.index import connection, manage
from ingest.index.contents import Contents
from ingest.index.document import Commit
from ingest.index.view import View, searching

T = TypeVar("T")
NEWEST_FIRST: Final = ({"commit_date": "desc"}, {"hash": "asc"}, {"origin": "asc"})
MOST_RELEVANT_FIRST: Final = ({"_score": "desc"}, *NEWEST_FIRST)
BY_HASH: Final = ({"hash": "asc"}, {"origin": "asc"})
BEGIN, END = "\x01", "\x02"
"""What stands around a highlighted part of a text; a terminal shows neither."""
_LONGEST_PAGE: Final = 10_000
_FRAGMENT: Final = 120


class Hits(NamedTuple):
    """The first hits, each as Elasticsearch gives it.

    :ivar total: how many there are in all
    """

    total: int
    hits: list[dict[str, Any]]


@dataclass(frozen=True)
class Commits:
    """What an index holds.

    :ivar index: an alias
    :ivar retry_for: seconds without an answer until it is given up
    """

    client: elasticsearch.Elasticsearch
    index: str
    retry_for: float

    def check(self) -> None:
        """See that there is an index.

        :raises UsageError: there is none
        :raises ElasticsearchRefusedError: the name is not that of an alias on one
        :raises IngestError: Elasticsearch does not answer
        """
        if self._patiently(lambda client: manage.behind(client, self.index)) is None:
            raise UsageError(
                f"{self.index} does not exist at {connection.shown(self.client)}",
                "load a repository first: make ingest REPO=…",
            )

    def origins(self) -> list[str]:
        """Every repository in it.

        :raises IngestError: Elasticsearch does not answer
        """
        return Contents(self.client, self.index, "", self.retry_for).origins()

    def count(self, query: Query) -> int:
        """How many commits match.

        :raises UsageError: Elasticsearch does not take the query
        :raises IngestError: Elasticsearch does not answer
        """
        return int(self._patiently(lambda client: client.count(index=self.index, query=query.to_dict())["count"]))

    def first(self, query: Query, sort: tuple[Any, ...], limit: int) -> Hits:
        """The first commits that match, highlighted, and how many there are in all.

        :raises UsageError: Elasticsearch does not take the query
        :raises IngestError: Elasticsearch does not answer
        """

        def look(client: elasticsearch.Elasticsearch) -> Hits:
            search = (
                Commit.search(using=client, index=self.index)
                .query(query)
                .sort(*sort)
                .source(includes=["hash", "origin", "author", "updated_on", "subject"])
                .highlight_options(pre_tags=[BEGIN], post_tags=[END])
                .highlight("subject", number_of_fragments=0)
                .highlight("message", number_of_fragments=1, fragment_size=_FRAGMENT, order="score")
                .params(allow_partial_search_results=False)
                .extra(track_total_hits=True)[: min(limit, _LONGEST_PAGE)]
            )
            found = search.execute().to_dict()["hits"]
            return Hits(found["total"]["value"], found["hits"])

        return self._patiently(look)

    def aggregated(self, query: Query, aggregations: dict[str, Any]) -> dict[str, Any]:
        """What Elasticsearch makes of all commits that match.

        :param aggregations: as the search API takes them
        :raises UsageError: Elasticsearch does not take the query
        :raises IngestError: Elasticsearch does not answer
        """

        def look(client: elasticsearch.Elasticsearch) -> dict[str, Any]:
            answer = client.search(
                index=self.index,
                query=query.to_dict(),
                aggs=aggregations,
                size=0,
                track_total_hits=True,
                allow_partial_search_results=False,
            )
            return {"total": answer["hits"]["total"]["value"], **answer["aggregations"]}

        return self._patiently(look)

    def stream(
        self, query: Query, sort: tuple[Any, ...], source: bool | dict[str, Any] = True
    ) -> Iterator[dict[str, Any]]:
        """All documents that match, each once, a page of them in memory.

        :param source: which fields of them, as the search API takes it
        :raises LookLostError: in the order of relevance, where one of Elasticsearch's nodes is lost; in any, where that
            happens again and again
        :raises UsageError: Elasticsearch does not take the query
        :raises IngestError: Elasticsearch does not answer
        """
        view = View(self.client, self.index, query.to_dict(), self.retry_for, sort, source)
        hits = view.hits() if sort == MOST_RELEVANT_FIRST else view.each_once()
        for hit in hits:
            yield hit["_source"]

    def _patiently(self, call: Callable[[elasticsearch.Elasticsearch], T]) -> T:
        return searching(self.client, self.index, call, self.retry_for)
