"""Sending: ``streaming_bulk`` a chunk at a time, so that whatever fails in passing is sent again, and only that."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import elastic_transport
import elasticsearch
from elasticsearch.helpers import streaming_bulk

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError, IngestError
from ingest.index import connection
from ingest.index.conversion import Action, without_files
from ingest.index.guard import Guard, moved
from ingest.index.patience import Patience

_REFUSED_FOR_ALL = (401, 403, 404)
"""Statuses of one document that no other document of the same index could escape."""
_CLOSED = "index_closed_exception"
"""Nor this, whose status is that of a document which is at fault itself."""


class Outcome(NamedTuple):
    """What became of one action.

    :ivar reason: why Elasticsearch rejected the document for good; None: it is indexed
    """

    action: Action
    status: int
    reason: str | None


@dataclass(frozen=True)
class Target:
    """Where to send, in which portions, and with how much patience.

    :ivar alias: what the requests name; an index of that name is never created by them
    :ivar index: the one concrete index that must be behind the alias
    :ivar chunk_size: documents in one request, at most
    :ivar chunk_bytes: bytes in one request, at most, unless a single document is larger
    :ivar retry_for: seconds without any progress until it is given up
    """

    client: elasticsearch.Elasticsearch
    alias: str
    index: str
    chunk_size: int
    chunk_bytes: int
    retry_for: float


# As in: primary_operation_bytes=64314176, max_primary_bytes=53687091
_OPERATION = re.compile(r"_operation_bytes=(\d+), max_\w+_bytes=(\d+)")


def chunks(actions: Iterable[Action], size: int, limit: int) -> Iterator[list[Action]]:
    """Group actions: at most `size` of them and `limit` bytes of documents in a chunk, but at least one."""
    chunk: list[Action] = []
    weight = 0
    for action in actions:
        if chunk and (len(chunk) >= size or weight + len(action.source) > limit):
            yield chunk
            chunk, weight = [], 0
        chunk.append(action)
        weight += len(action.source)
    if chunk:
        yield chunk


def send(target: Target, actions: Iterable[Action], retried: Callable[[int], None]) -> Iterator[Outcome]:
    """Send actions and give the outcome of each, once it is final.

    Sent again, after growing and jittered pauses: documents and requests that got 429, 502, 503 or 504, a lost or
    refused connection, a time-out. A request that failed as a whole is halved; a single document that is too large
    (413) is sent without its file list. What a mapping refuses is an outcome.

    :param retried: told how many documents are about to be sent again
    :raises ElasticsearchUnavailableError: there was no progress for `target.retry_for` seconds
    :raises ElasticsearchRefusedError: credentials, privileges, or the index are not what they were
    """
    guard = Guard(target.client, target.alias, target.index, target.retry_for)
    sent = False
    for chunk in chunks(actions, target.chunk_size, target.chunk_bytes):
        sent = True
        guard.look()
        yield from _trusted(_sent(target, chunk, retried), guard)
    if sent:
        guard.look(now=True)


def _trusted(outcomes: Iterable[Outcome], guard: Guard) -> Iterator[Outcome]:
    """The outcomes of a chunk; none is a rejection by another index than the one that is written to."""
    looked = False
    for outcome in outcomes:
        if outcome.reason is not None and not looked:
            guard.look(now=True)
            looked = True
        yield outcome


def _sent(target: Target, chunk: list[Action], retried: Callable[[int], None]) -> Iterator[Outcome]:
    patience = Patience(target.retry_for)
    waiting = [chunk]
    while waiting:
        failure: _Failure | None = None
        for outcome in _request(target, waiting[0], patience.request_timeout()):
            if isinstance(outcome, _Failure):
                failure = outcome
            else:
                yield outcome
        if failure is None or len(failure.actions) < len(waiting[0]):
            patience.start_anew()
        waiting[:1] = [] if failure is None else failure.portions()
        if failure is not None and failure.status != 413:
            retried(len(failure.actions))
            patience.wait(f"Nothing could be written to {target.alias}", failure.explained)


@dataclass(frozen=True)
class _Failure:
    """Documents of one request that are to be sent again.

    :ivar status: of the request, or of the documents; None: there was no answer
    """

    actions: list[Action]
    status: int | None
    explained: IngestError

    def portions(self) -> list[list[Action]]:
        """In which requests to send them: fewer at a time, because they may have been too many.

        Not everybody says so: some hosts in between reset a connection, or swallow what is long.
        """
        if len(self.actions) == 1:
            return [self.actions]
        middle = len(self.actions) // 2
        return [self.actions[:middle], self.actions[middle:]]


def _request(target: Target, actions: list[Action], timeout: float) -> Iterator[Outcome | _Failure]:
    """One bulk request: the final outcomes of its documents, and at the end what is to be sent again, if anything."""
    again: list[Action] = []
    failed = None
    try:
        for outcome in _answers(target, actions, timeout):
            if outcome.status in connection.TRANSIENT:
                again.append(outcome.action)
                failed = outcome
            else:
                yield outcome
    except (elasticsearch.ApiError, elastic_transport.TransportError) as error:
        yield from _failed_request(target, actions, error)
    if failed is not None:
        words = (
            f"{target.alias} at {connection.shown(target.client)} takes no documents ({failed.status} {failed.reason})"
        )
        explained = ElasticsearchUnavailableError(words, "look at its load, its disk and its log")
        if not _fits(failed.reason or ""):
            yield from _too_large(again, explained, failed.reason)
        else:
            yield _Failure(again, failed.status, explained)


def _failed_request(target: Target, actions: list[Action], error: Exception) -> Iterator[Outcome | _Failure]:
    status = error.meta.status if isinstance(error, elasticsearch.ApiError) else None
    explained = connection.explain(error, connection.shown(target.client))
    if status == 413:
        yield from _too_large(actions, explained, "the document is larger than Elasticsearch's http.max_content_length")
    elif connection.is_transient(error):
        yield _Failure(actions, status, explained)
    else:
        raise explained from None


def _too_large(actions: list[Action], explained: IngestError, reason: str | None) -> Iterator[Outcome | _Failure]:
    """What to do with documents that Elasticsearch has no room for, however long one waits."""
    if len(actions) > 1:
        yield _Failure(actions, 413, explained)
    elif smaller := without_files(actions[0]):
        yield _Failure([smaller], 413, explained)
    else:
        yield Outcome(actions[0], 413, reason)


def _fits(reason: str) -> bool:
    """Whether what got 429 is less than all the memory that Elasticsearch has for such work."""
    return all(int(size) <= int(most) for size, most in _OPERATION.findall(reason))


def _answers(target: Target, actions: Sequence[Action], timeout: float) -> Iterator[Outcome]:
    """One bulk request, and what it says of each document, final or not."""
    results = streaming_bulk(
        target.client.options(request_timeout=timeout),
        cast("Iterable[Any]", actions),
        chunk_size=len(actions),
        # The chunk is the right size already; the helper must not cut it again.
        max_chunk_bytes=sum(len(action.source) for action in actions) * 2 + 1024 * len(actions),
        raise_on_error=False,
        expand_action_callback=cast("Callable[[Any], Any]", _expanded),
        index=target.alias,
        require_alias=True,
        # Of an answer's half kilobyte per document, this is what is looked at.
        filter_path=["items.*.status", "items.*._index", "items.*.error"],
    )
    for action, (ok, result) in zip(actions, results, strict=True):
        (answer,) = result.values()
        if ok and answer["_index"] != target.index:
            raise moved(target.alias, target.index, answer["_index"])
        already_gone = not action.source and "error" not in answer
        reason = None if ok or already_gone else _reason(answer)
        refused_for_all = answer["status"] in _REFUSED_FOR_ALL or (reason or "").startswith(_CLOSED)
        if refused_for_all and not already_gone:
            raise ElasticsearchRefusedError(
                f"Elasticsearch no longer lets us write to {target.alias} ({answer['status']} {reason})",
                "see that the alias, its index and our privileges are as they were before the load",
            )
        yield Outcome(action, answer["status"], reason)


def _expanded(action: Action) -> tuple[dict[str, Any], bytes | None]:
    # streaming_bulk hands a body of bytes on as it is.
    return ({"index": {"_id": action.id}}, action.source) if action.source else ({"delete": {"_id": action.id}}, None)


def _reason(answer: dict[str, Any]) -> str:
    error = answer.get("error")
    if not isinstance(error, dict):
        return str(error)
    reason = f"{error.get('type')}: {error.get('reason')}"
    cause = error.get("caused_by")
    return f"{reason} ({cause.get('type')}: {cause.get('reason')})" if isinstance(cause, dict) else reason
