"""What has been indexed: one document per origin and index in ``INDEX-state``, written last.

Each run is an attempt. It notes its beginning in the document, and writes what it reached at its end, if nobody has
changed the document in between (Elasticsearch's optimistic concurrency). An attempt that is still noted when another
begins was killed, or goes on elsewhere: then nothing but a look at everything tells what the index holds.
"""

import hashlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

import elasticsearch

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError, IngestError
from ingest.git.history import Selection
from ingest.git.snapshot import Snapshot
from ingest.index import connection
from ingest.index.patience import LAST_WORDS, patiently

MOST_LACKING: Final = 1000
"""So many lacking commits are remembered; where there are more, the next run looks for them."""
_GIVEN_UP_AFTER: Final = timedelta(days=1)
T = TypeVar("T")
_MAPPING: Final = {
    "dynamic": "strict",
    "properties": {
        "index": {"type": "keyword"},
        "origin": {"type": "keyword", "ignore_above": 8191},
        "commits": {"type": "long"},
        "last_success": {"type": "date"},
        "last_attempt": {
            "properties": {
                "run": {"type": "keyword"},
                "host": {"type": "keyword"},
                "started": {"type": "date"},
                "seconds": {"type": "float"},
                "exit_code": {"type": "short"},
                "outcome": {"type": "keyword", "ignore_above": 8191},
            }
        },
        # Never searched.
        "unfinished": {"type": "object", "enabled": False},
        "reached": {"type": "object", "enabled": False},
    },
}


@dataclass(frozen=True)
class Reached:
    """What a successful run left in the index.

    :ivar snapshot: the mirror that the index is equal to; None: it came from a saved log
    :ivar commits: documents of this origin
    :ivar lacking: hashes of commits that were rejected or unreadable; None: too many to remember
    :ivar incomplete: hashes of commits that were indexed without a part; None: too many to remember
    :ivar gitpath: where the mirror, or the saved log, lies, if not in its usual place
    """

    snapshot: Snapshot | None
    selection: Selection
    project: str | None
    commits: int
    lacking: frozenset[str] | None
    incomplete: frozenset[str] | None = frozenset()
    gitpath: str | None = None

    @property
    def listed(self) -> frozenset[str]:
        """The commits, as far as they are remembered, that have been listed as lacking, or as incomplete."""
        return (self.lacking or frozenset()) | (self.incomplete or frozenset())

    def to_json(self) -> dict[str, Any]:
        """As it is kept in the document."""
        return asdict(self) | {"lacking": _sorted(self.lacking), "incomplete": _sorted(self.incomplete)}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The inverse of `to_json`, for what Elasticsearch gives back."""
        shot, selection = kept["snapshot"], kept["selection"]
        return cls(
            None if shot is None else Snapshot(**{**shot, "tips": tuple(shot["tips"])}),
            Selection(**{**selection, "branches": tuple(selection["branches"])}),
            kept["project"],
            kept["commits"],
            _set(kept["lacking"]),
            _set(kept.get("incomplete", ())),
            kept["gitpath"],
        )


def _sorted(hashes: frozenset[str] | None) -> list[str] | None:
    return None if hashes is None else sorted(hashes)


def _set(hashes: Iterable[str] | None) -> frozenset[str] | None:
    return None if hashes is None else frozenset(hashes)


@dataclass(frozen=True)
class Entry:
    """What the document of an origin says.

    :ivar reached: by the last successful run; None: there was none
    :ivar unfinished: the attempts, by run, of whose end nothing is known
    """

    origin: str
    reached: Reached | None = None
    last_success: str | None = None
    last_attempt: dict[str, Any] | None = None
    unfinished: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, source: dict[str, Any]) -> Self:
        """From the document's ``_source``."""
        reached = source["reached"]
        return cls(
            source["origin"],
            None if reached is None else Reached.from_json(reached),
            source["last_success"],
            source["last_attempt"],
            source["unfinished"],
        )

    def to_json(self, index: str) -> dict[str, Any]:
        """The document's ``_source``."""
        reached = self.reached
        return {
            "index": index,
            "origin": self.origin,
            "commits": None if reached is None else reached.commits,
            "last_success": self.last_success,
            "last_attempt": self.last_attempt,
            "unfinished": self.unfinished,
            "reached": None if reached is None else reached.to_json(),
        }


@dataclass(frozen=True)
class State:
    """The state of one index.

    :param alias: INDEX; the state is in ``INDEX-state``
    :param index: the concrete index that it is the state of
    :param retry_for: seconds without an answer until it is given up
    """

    client: elasticsearch.Elasticsearch
    alias: str
    index: str
    retry_for: float

    @property
    def name(self) -> str:
        """The index that holds the state."""
        return f"{self.alias}-state"

    def identifier(self, origin: str) -> str:
        """The ``_id`` of an origin's document."""
        digest = hashlib.sha256(origin.encode("utf-8", "surrogateescape")).hexdigest()
        return f"{self.index}:{digest}"

    def create(self) -> None:
        """Make the index that holds the state, where it is missing. It is hidden from searches by wildcard.

        :raises IngestError: Elasticsearch does not do it
        """

        self.patiently(self._create)

    def attempt(self, origin: str, place: str) -> "Attempt":
        """A run over one origin, as a context; what it is to the state begins when it is entered.

        :param place: where its mirror lies, which the caller holds: nobody else on this machine works there
        """
        return Attempt(self, origin, f"{socket.gethostname()}:{place}")

    def entries(self) -> Iterator[Entry]:
        """What is known of each origin, ordered by it.

        :raises IngestError: Elasticsearch does not answer
        """
        after: list[Any] | None = None
        while True:
            hits = self._page(after)
            for hit in hits:
                yield Entry.from_json(hit["_source"])
            if not hits:
                return
            after = hits[-1]["sort"]

    def sweep(self, existing: set[str]) -> None:
        """Remove what is known of indices other than these.

        :raises IngestError: Elasticsearch does not do it
        """

        def sweep(client: elasticsearch.Elasticsearch) -> None:
            client.indices.refresh(index=self.name)
            others = {"bool": {"must_not": {"terms": {"index": sorted(existing)}}}}
            while True:
                hits = client.search(index=self.name, query=others, source=False, size=1000)["hits"]["hits"]
                if not hits:
                    return
                deletions = [{"delete": {"_id": hit["_id"]}} for hit in hits]
                self._check_deleted(client.bulk(index=self.name, operations=deletions, refresh=True)["items"])

        self.patiently(sweep)

    def _check_deleted(self, items: list[dict[str, Any]]) -> None:
        for answer in (each["delete"] for each in items):
            if answer["status"] not in (200, 404):
                kind = (
                    ElasticsearchUnavailableError
                    if answer["status"] in connection.TRANSIENT
                    else ElasticsearchRefusedError
                )
                raise kind(
                    f"What {self.name} holds of older indices cannot be deleted ({answer['status']} "
                    f"{answer['error'].get('reason')})",
                    "see that the credentials have all the privileges that the README names",
                )

    def patiently(self, call: Callable[[elasticsearch.Elasticsearch], T]) -> T:
        """Call until Elasticsearch answers.

        :raises ElasticsearchUnavailableError: it did not within `retry_for` seconds
        """
        return patiently(self.client, call, self.retry_for, f"The state in {self.name} could not be used")

    def read(self, identifier: str, client: elasticsearch.Elasticsearch) -> tuple[Entry | None, dict[str, int]]:
        """The document of that ``_id``, None where there is none, and the version that it has."""
        try:
            found = client.get(index=self.name, id=identifier)
        except elasticsearch.NotFoundError:
            # Without its index there is no state either.
            return None, {}
        return Entry.from_json(found["_source"]), {
            "if_seq_no": found["_seq_no"],
            "if_primary_term": found["_primary_term"],
        }

    def write(
        self, identifier: str, entry: Entry, version: dict[str, int], client: elasticsearch.Elasticsearch
    ) -> dict[str, int] | None:
        """Write the document if it is still of that version (none: if it is still missing).

        :return: the version that it has now; None: it is not written
        """
        # Whoever removed it, Elasticsearch would make it again without its mapping.
        self._create(client)
        try:
            answer = client.index(
                index=self.name,
                id=identifier,
                document=entry.to_json(self.index),
                op_type=None if version else "create",
                if_seq_no=version.get("if_seq_no"),
                if_primary_term=version.get("if_primary_term"),
            )
        except elasticsearch.ConflictError:
            return None
        return {"if_seq_no": answer["_seq_no"], "if_primary_term": answer["_primary_term"]}

    def delete(self, identifier: str, version: dict[str, int], client: elasticsearch.Elasticsearch) -> bool:
        """Delete the document if it is still of that version, and tell whether it is gone."""
        try:
            client.delete(
                index=self.name,
                id=identifier,
                if_seq_no=version.get("if_seq_no"),
                if_primary_term=version.get("if_primary_term"),
            )
        except elasticsearch.NotFoundError:
            return True
        except elasticsearch.ConflictError:
            return False
        return True

    def _create(self, client: elasticsearch.Elasticsearch) -> None:
        if client.indices.exists(index=self.name):
            return
        try:
            client.indices.create(
                index=self.name,
                mappings=_MAPPING,
                settings={"hidden": True, "number_of_shards": 1, "auto_expand_replicas": "0-1"},
            )
        except elasticsearch.BadRequestError as error:
            # Another run was quicker, or the answer to our own request was lost.
            if error.error != "resource_already_exists_exception":
                raise

    def _page(self, after: list[Any] | None) -> list[dict[str, Any]]:
        def search(client: elasticsearch.Elasticsearch) -> list[dict[str, Any]]:
            if after is None:
                client.indices.refresh(index=self.name)
            answer = client.search(
                index=self.name,
                query={"term": {"index": self.index}},
                sort=[{"origin": "asc"}],
                search_after=after,
                size=100,
                allow_partial_search_results=False,
            )
            return list(answer["hits"]["hits"])

        return self.patiently(search)


class Attempt:
    """A run over one origin.

    :ivar entry: what the state said when it began
    :ivar sure: whether the index holds what `entry` says, as far as this program knows
    """

    def __init__(self, state: State, origin: str, host: str) -> None:
        self.entry = Entry(origin)
        self.sure = True
        self._state = state
        self._run = uuid4().hex
        self._host = host
        self._touched = False
        self._ended = False
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._version: dict[str, int] = {}
        self._id = state.identifier(origin)

    def __enter__(self) -> Self:
        self._state.patiently(self._begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            last_words = self._state.client.options(request_timeout=LAST_WORDS)
            with suppress(IngestError), connection.explained(last_words):
                self._fail(error, last_words)
        elif not (self._ended or self._touched):
            self._state.patiently(self._withdraw)

    def touch(self) -> None:
        """From now on the index may no longer hold what the state says."""
        self._touched = True

    def begin_again(self) -> None:
        """Somebody else has been at work: look at the state anew.

        :raises IngestError: Elasticsearch does not do it
        """
        self._state.patiently(self._begin)

    def finish(self, reached: Reached, exit_code: int) -> bool:
        """Note what was reached.

        :return: whether it is noted; not when another run has begun or ended meanwhile
        :raises IngestError: Elasticsearch does not do it
        """
        now = datetime.now(UTC)
        others = {
            run: each
            for run, each in self.entry.unfinished.items()
            if run != self._run
            and each["host"] != self._host
            and now - datetime.fromisoformat(each["started"]) < _GIVEN_UP_AFTER
        }
        entry = replace(
            self.entry,
            reached=reached,
            last_success=now.isoformat(),
            last_attempt=self._attempt("done", exit_code),
            unfinished=others,
        )
        self._ended = self._state.patiently(lambda client: self._written(entry, self._version, client))
        return self._ended

    def forget(self) -> bool:
        """Note that the index holds nothing of the origin: remove its document.

        :return: whether it is gone; not when another run has begun or ended meanwhile
        :raises IngestError: Elasticsearch does not do it
        """
        self._ended = self._state.patiently(lambda client: self._state.delete(self._id, self._version, client))
        return self._ended

    def _begin(self, client: elasticsearch.Elasticsearch) -> None:
        while True:
            entry, version = self._read(client)
            self.sure = not entry.unfinished
            self.entry = entry
            mine = {"host": self._host, "started": self._started.isoformat()}
            begun = replace(
                entry, last_attempt=self._attempt("running", None), unfinished=entry.unfinished | {self._run: mine}
            )
            if self._written(begun, version, client):
                return

    def _fail(self, error: BaseException, client: elasticsearch.Elasticsearch) -> None:
        what = error.what if isinstance(error, IngestError) else "interrupted"
        code = getattr(error, "exit_code", 1)
        while True:
            entry, version = self._read(client)
            unfinished = {run: each for run, each in entry.unfinished.items() if self._touched or run != self._run}
            failed = replace(entry, last_attempt=self._attempt(what, code), unfinished=unfinished)
            if self._written(failed, version, client):
                return

    def _withdraw(self, client: elasticsearch.Elasticsearch) -> None:
        """It was only a look."""
        while True:
            entry, version = self._read(client)
            unfinished = {run: each for run, each in entry.unfinished.items() if run != self._run}
            mine = (entry.last_attempt or {}).get("run") == self._run
            last = self.entry.last_attempt if mine else entry.last_attempt
            if self._written(replace(entry, last_attempt=last, unfinished=unfinished), version, client):
                return

    def _attempt(self, outcome: str, exit_code: int | None) -> dict[str, Any]:
        return {
            "run": self._run,
            "host": self._host,
            "started": self._started.isoformat(),
            "seconds": None if exit_code is None else round(time.monotonic() - self._clock, 3),
            "exit_code": exit_code,
            "outcome": outcome,
        }

    def _read(self, client: elasticsearch.Elasticsearch) -> tuple[Entry, dict[str, int]]:
        entry, version = self._state.read(self._id, client)
        return entry or Entry(self.entry.origin), version

    def _written(self, entry: Entry, version: dict[str, int], client: elasticsearch.Elasticsearch) -> bool:
        """Write the document if it is still of that version (none: if it is still missing)."""
        written = self._state.write(self._id, entry, version, client)
        self._version = written or version
        return written is not None
