"""Sending, with the real faults of real servers."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import elasticsearch
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import ElasticsearchUnavailableError
from ingest.index import connection, manage, patience
from ingest.index.bulk import Outcome, Target, chunks, send
from ingest.index.conversion import Action
from ingest.index.document import mapping
from ingest.node import NodeInfo
from tests.conftest import Run
from tests.node.conftest import small_node
from tests.repository import Repository


def actions(count: int, size: int = 100, start: int = 0) -> Iterator[Action]:
    for number in range(start, start + count):
        yield Action(f"id-{number}", orjson.dumps({"hash": f"{number}", "message": "x" * size}))


def target(client: elasticsearch.Elasticsearch, alias: str, *, chunk_size: int = 100, retry_for: float = 20) -> Target:
    return Target(client, alias, manage.prepare(client, alias), chunk_size, 10 << 20, retry_for)


def unexpected(count: int) -> None:
    """Nothing should be sent again."""
    pytest.fail(f"{count} documents are sent again")


def ids(client: elasticsearch.Elasticsearch, alias: str) -> set[str]:
    client.indices.refresh(index=alias)
    return {hit["_id"] for hit in client.search(index=alias, size=10_000, source=False)["hits"]["hits"]}


@pytest.fixture(scope="module")
def cramped(open_folder: Path) -> Iterator[NodeInfo]:
    """A server that takes requests of two megabytes at most, and works on one megabyte at a time."""
    config = {"http.max_content_length": "2mb", "indexing_pressure.memory.limit": "1mb"}
    node = small_node(open_folder / "cramped", config=config)
    yield node.start()
    node.stop()


@pytest.fixture
def other(cramped: NodeInfo, monkeypatch: pytest.MonkeyPatch) -> Iterator[elasticsearch.Elasticsearch]:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    with connection.connect((cramped.url,)) as client:
        yield client
        client.indices.delete(index=list(client.indices.get(index="*")))


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 5), st.integers(1, 60))
def test_chunks_hold_all_actions_in_order_and_keep_to_both_limits(sizes: list[int], size: int, limit: int) -> None:
    given_actions = [Action(str(number), b"x" * length) for number, length in enumerate(sizes)]
    made = list(chunks(iter(given_actions), size, limit))
    assert list(itertools.chain.from_iterable(made)) == given_actions
    for chunk in made:
        assert 1 <= len(chunk) <= size
        assert len(chunk) == 1 or sum(len(action.source) for action in chunk) <= limit


def test_chunks_are_made_as_they_are_asked_for() -> None:
    source = actions(10)
    next(chunks(source, 2, 1000))
    assert next(source).id == "id-3"


def test_each_action_has_one_outcome_in_order(client: elasticsearch.Elasticsearch, alias: str) -> None:
    outcomes = list(send(target(client, alias, chunk_size=7), actions(50), unexpected))
    assert [outcome.action.id for outcome in outcomes] == [f"id-{number}" for number in range(50)]
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {(201, None)}
    assert ids(client, alias) == {f"id-{number}" for number in range(50)}


def test_what_the_mapping_refuses_is_an_outcome_and_the_rest_goes_on(
    client: elasticsearch.Elasticsearch, alias: str
) -> None:
    bad = Action("bad", b'{"unknown":1}')
    outcomes = list(send(target(client, alias), [*actions(3), bad, *actions(3, start=3)], unexpected))
    assert [outcome.action.id for outcome in outcomes if outcome.reason] == ["bad"]
    (rejected,) = (outcome for outcome in outcomes if outcome.reason)
    assert rejected.status == 400
    assert "strict_dynamic_mapping_exception" in (rejected.reason or "")
    assert len(ids(client, alias)) == 6


def test_a_request_that_is_too_large_is_halved(other: elasticsearch.Elasticsearch) -> None:
    outcomes = list(send(target(other, "large"), actions(30, size=200_000), lambda count: None))
    assert sorted(outcome.action.id for outcome in outcomes) == sorted(f"id-{number}" for number in range(30))
    assert all(outcome.reason is None for outcome in outcomes)
    assert len(ids(other, "large")) == 30


def test_a_single_document_that_is_too_large_is_rejected_and_the_others_go_on(
    other: elasticsearch.Elasticsearch,
) -> None:
    huge = Action("huge", orjson.dumps({"message": "x" * (3 << 20)}))
    outcomes = list(send(target(other, "huge"), [*actions(3), huge], lambda count: None))
    assert [(outcome.action.id, outcome.status) for outcome in outcomes if outcome.reason] == [("huge", 413)]
    assert len(ids(other, "huge")) == 3


def test_requests_that_get_429_are_sent_again_until_they_are_taken(
    other: elasticsearch.Elasticsearch,
) -> None:
    """Two loads at once hold more than the server's limit between them."""
    retried: list[int] = []
    first = target(other, "pressure", chunk_size=8)
    command = [sys.executable, "-c", _KEEP_BUSY, connection.shown(other)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as rival:
        number = 0
        outcomes: list[Outcome] = []
        while not retried:
            outcomes += send(first, actions(8, size=100_000, start=number), retried.append)
            number += 8
        rival.communicate(b"")
    assert [outcome.reason for outcome in outcomes] == [None] * number
    assert len(ids(other, "pressure")) == number


_KEEP_BUSY = """
import sys, threading, elasticsearch
sys.path.insert(0, ".")
stop = threading.Event()
def work():
    client = elasticsearch.Elasticsearch(sys.argv[1])
    while not stop.is_set():
        try:
            client.bulk(operations=[{"index": {"_index": "rival"}}, {"message": "x" * 300_000}] * 2)
        except elasticsearch.ApiError:
            pass
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
sys.stdin.read()
stop.set()
"""


def test_without_progress_it_is_given_up_in_time() -> None:
    with connection.connect(("http://127.0.0.1:1",)) as client:
        nowhere = Target(client, "a", "a-1", 10, 1000, 0.5)
        with pytest.raises(ElasticsearchUnavailableError, match=r"for 0.5 s\. .*Connection refused"):
            list(send(nowhere, actions(3), lambda count: None))


def test_rejected_documents_wait_whole_in_a_file_that_replay_sends_again(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("1", {"a": "1\n"})
    late = repository.commit("Too late", {"a": "2\n"})
    # An index that somebody made by hand, and that takes numbers only for messages.
    narrow = mapping()
    narrow["properties"]["message"] = {"type": "integer"}
    client.indices.create(index=f"{alias}-narrow", mappings=narrow, aliases={alias: {}})
    done = ingest("load", repository.path)
    assert done.returncode == 3
    assert done.stdout.startswith("1 commits indexed, 1 rejected")
    (file,) = (home / "rejects").iterdir()
    assert str(file) in done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    (line,) = map(orjson.loads, file.read_bytes().splitlines())
    assert (line["index"], line["status"], line["document"]["hash"]) == (alias, 400, late)
    assert "failed to parse field [message]" in line["reason"]

    again = ingest("replay", file)
    assert again.returncode == 3
    assert not file.exists()
    (file,) = (home / "rejects").iterdir()

    client.indices.delete(index=f"{alias}-narrow")
    mended = ingest("replay", file)
    assert (mended.returncode, mended.stdout.split(" in ")[0]) == (0, "1 commits indexed, 0 rejected")
    assert list((home / "rejects").iterdir()) == []
    client.indices.refresh(index=alias)
    (hit,) = client.search(index=alias)["hits"]["hits"]
    assert (hit["_id"], hit["_source"]) == (line["_id"], line["document"])


def test_replay_refuses_a_file_that_holds_no_rejects(tmp_path: Path, ingest: Run) -> None:
    for content in ("", "hello\n", "{}\n"):
        (tmp_path / "file").write_text(content)
        done = ingest("replay", tmp_path / "file")
        assert done.returncode == 2
        assert "name a file of rejects" in done.stderr
    assert ingest("replay", tmp_path / "missing").returncode == 2
