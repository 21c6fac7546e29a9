"""The states of many origins at once, in few requests."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import uuid4

import elasticsearch

from ingest.errors import ElasticsearchUnavailableError
from ingest.git.snapshot import Snapshot
from ingest.index.state import State

T = TypeVar("T")
_PAGE: Final = 1000
# They may be long, and are not needed here.
_LEFT_AWAY: Final = ("reached.snapshot.tips", "reached.snapshot.decorations")


@dataclass(frozen=True)
class Noted:
    """What is noted of an origin that was loaded, by a run that has ended, without anything lacking.

    :ivar version: of the document that says so
    :ivar snapshot: without its tips and decorations
    :ivar selection: what was selected, as the state keeps it
    :ivar commits: documents that the index held then
    """

    origin: str
    version: dict[str, int]
    snapshot: Snapshot
    selection: dict[str, Any]
    project: str | None
    commits: int


@dataclass(frozen=True)
class Overview:
    """Looks at the state of an index as a whole."""

    state: State

    def commits(self) -> dict[str, int | None]:
        """Every origin that the state knows, and how many commits the last successful run left; None: there was none.

        :raises IngestError: Elasticsearch does not answer
        """
        pages = self._pages({"includes": ["origin", "commits"]})
        return {source["origin"]: source["commits"] for page in pages for source in page}

    def sources(self) -> Iterator[dict[str, Any]]:
        """What the state says of each origin, without what grows with its refs, ordered by it.

        :raises IngestError: Elasticsearch does not answer
        """
        for page in self._pages({"excludes": list(_LEFT_AWAY)}):
            yield from page

    def _pages(self, wanted: dict[str, list[str]]) -> Iterator[list[dict[str, Any]]]:
        state = self.state

        def page(after: list[Any] | None, client: elasticsearch.Elasticsearch) -> list[dict[str, Any]]:
            if after is None:
                client.indices.refresh(index=state.name)
            answer = client.search(
                index=state.name,
                query={"term": {"index": state.index}},
                source=wanted,
                sort=[{"origin": "asc"}],
                search_after=after,
                size=_PAGE,
                allow_partial_search_results=False,
            )
            return list(answer["hits"]["hits"])

        after: list[Any] | None = None
        while hits := self.state.patiently(partial(page, after)):
            yield [hit["_source"] for hit in hits]
            after = hits[-1]["sort"]

    def noted(self, origins: Sequence[str]) -> dict[str, Noted]:
        """What is noted of those among some origins of which nothing speaks against it.

        :param origins: best some hundreds
        :raises IngestError: Elasticsearch does not answer
        """
        state = self.state

        def documents(client: elasticsearch.Elasticsearch) -> list[dict[str, Any]]:
            ids = [state.identifier(origin) for origin in origins]
            docs = client.mget(index=state.name, ids=ids, source_excludes=list(_LEFT_AWAY))["docs"]
            if any("error" in each for each in docs):
                raise ElasticsearchUnavailableError(f"Not all of {state.name} can be read", "look at its shards")
            return [each for each in docs if each["found"]]

        found = filter(None, map(_noted, self.state.patiently(documents) if origins else ()))
        return {each.origin: each for each in found}

    def documents(self, origins: Sequence[str]) -> dict[str, int]:
        """How many documents the index holds of each of some origins.

        :raises IngestError: Elasticsearch does not answer
        """

        def count(client: elasticsearch.Elasticsearch) -> dict[str, int]:
            client.indices.refresh(index=self.state.index)
            answer = client.search(
                index=self.state.index,
                size=0,
                query={"terms": {"origin": origins}},
                # No shard has more than these to tell of, so that the counts are exact.
                aggs={"origins": {"terms": {"field": "origin", "size": len(origins)}}},
                allow_partial_search_results=False,
            )
            return {each["key"]: each["doc_count"] for each in answer["aggregations"]["origins"]["buckets"]}

        return self.state.patiently(count) if origins else {}

    def note_unchanged(self, found: Sequence[tuple[Noted, float]], host: Callable[[str], str]) -> set[str]:
        """Note of origins that a run has found nothing new.

        :param found: with the seconds that it took
        :param host: what the state calls the place where an origin is worked on
        :return: those of which somebody else has noted something meanwhile, which stays
        :raises IngestError: Elasticsearch does not do it
        """
        if not found:
            return set()
        operations = [part for noted, seconds in found for part in self._update(noted, seconds, host(noted.origin))]

        def write(client: elasticsearch.Elasticsearch) -> set[str]:
            answers = client.bulk(index=self.state.name, operations=operations)["items"]
            return {
                noted.origin for (noted, _), answer in zip(found, answers, strict=True) if "error" in answer["update"]
            }

        return self.state.patiently(write)

    def _update(self, noted: Noted, seconds: float, host: str) -> Iterator[dict[str, Any]]:
        now = datetime.now(UTC).isoformat()
        attempt = {
            "run": uuid4().hex,
            "host": host,
            "started": datetime.fromtimestamp(time.time() - seconds, UTC).isoformat(),
            "seconds": round(seconds, 3),
            "exit_code": 0,
            "outcome": "done",
        }
        yield {"update": {"_id": self.state.identifier(noted.origin), **noted.version}}
        yield {"doc": {"last_success": now, "last_attempt": attempt}}


def _noted(document: dict[str, Any]) -> Noted | None:
    source = document["_source"]
    reached = source["reached"]
    if reached is None or reached["snapshot"] is None or reached["gitpath"] is not None or source["unfinished"]:
        return None
    if reached["lacking"] != [] or reached.get("incomplete", []) != [] or not reached["snapshot"].get("refs"):
        return None
    return Noted(
        source["origin"],
        {"if_seq_no": document["_seq_no"], "if_primary_term": document["_primary_term"]},
        Snapshot(**{**reached["snapshot"], "tips": (), "decorations": {}}),
        reached["selection"],
        reached["project"],
        reached["commits"],
    )


def batches(things: Sequence[T], size: int) -> Iterator[list[T]]:
    """Things, so many at a time."""
    rest = iter(things)
    while some := list(islice(rest, size)):
        yield some
