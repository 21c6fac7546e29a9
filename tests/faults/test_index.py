"""Somebody changes the index, or its alias, under a load."""

import re
from collections.abc import Callable
from pathlib import Path

import elasticsearch
import pytest

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError, IngestError
from ingest.index import manage
from ingest.index.bulk import send
from ingest.index.conversion import Action
from ingest.index.document import mapping
from tests.conftest import Run
from tests.documents import hashes
from tests.faults.test_server import loading
from tests.index.test_bulk import actions, ids, target, unexpected
from tests.repository import linear

Client = elasticsearch.Elasticsearch


def delete_index(client: Client, alias: str, index: str) -> None:
    client.indices.delete(index=index)


def delete_alias(client: Client, alias: str, index: str) -> None:
    client.indices.delete_alias(index=index, name=alias)


def put_a_concrete_index_in_its_place(client: Client, alias: str, index: str) -> None:
    client.indices.delete(index=index)
    client.indices.create(index=alias)


def put_another_index_in_its_place(client: Client, alias: str, index: str) -> None:
    client.indices.delete(index=index)
    client.indices.create(index=index, aliases={alias: {}}, mappings=mapping())


def add_an_index(client: Client, alias: str, index: str) -> None:
    client.indices.create(index=f"{alias}-other", aliases={alias: {}}, mappings=mapping())


def move_alias(client: Client, alias: str, index: str) -> None:
    add_an_index(client, alias, index)
    delete_alias(client, alias, index)


def change_mapping(client: Client, alias: str, index: str) -> None:
    client.indices.put_mapping(index=index, properties={"mine": {"type": "keyword"}})


def open_mapping(client: Client, alias: str, index: str) -> None:
    client.indices.put_mapping(index=index, dynamic="true")


def close_index(client: Client, alias: str, index: str) -> None:
    client.indices.close(index=index)


CHANGES = [
    (delete_index, ElasticsearchRefusedError, "was deleted"),
    (delete_alias, ElasticsearchRefusedError, "was deleted"),
    (put_a_concrete_index_in_its_place, ElasticsearchUnavailableError, "was moved"),
    (put_another_index_in_its_place, ElasticsearchRefusedError, "was replaced by another index"),
    (add_an_index, ElasticsearchUnavailableError, "was moved"),
    (move_alias, ElasticsearchUnavailableError, "was moved"),
    (change_mapping, ElasticsearchRefusedError, "mapping of .* was changed"),
    (close_index, ElasticsearchRefusedError, "no longer lets us write"),
    (open_mapping, ElasticsearchRefusedError, "mapping of .* was changed"),
]


def everything(client: Client, alias: str) -> dict[str, set[str]]:
    return {index: ids(client, index) for index in client.indices.get(index=f"{alias}*", expand_wildcards="open")}


@pytest.mark.parametrize(("change", "error", "words"), CHANGES)
def test_an_index_that_is_changed_during_a_load_stops_it_before_it_writes_to_another(
    change: Callable[[Client, str, str], None],
    error: type[IngestError],
    words: str,
    client: Client,
    alias: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ingest.index.guard._EVERY", 0)
    stable = target(client, alias, chunk_size=5)
    outcomes = send(stable, actions(20), unexpected)
    for _ in range(5):
        next(outcomes)
    change(client, alias, stable.index)
    before = everything(client, alias)
    with pytest.raises(error, match=words):
        list(outcomes)
    assert everything(client, alias) == before


@pytest.mark.parametrize("change", [each for each, *_ in CHANGES if each is not open_mapping])
def test_what_another_index_rejects_is_listed_by_nobody(
    change: Callable[[Client, str, str], None], client: Client, alias: str
) -> None:
    """Between two looks at the index."""
    stable = target(client, alias, chunk_size=5)
    bad = (Action(f"bad-{number}", b'{"unknown":1}') for number in range(5))
    outcomes = send(stable, [*actions(5), *bad], unexpected)
    for _ in range(5):
        next(outcomes)
    change(client, alias, stable.index)
    with pytest.raises(IngestError):
        next(outcomes)


def test_the_last_documents_are_not_taken_for_indexed_either(client: Client, alias: str) -> None:
    stable = target(client, alias)
    outcomes = send(stable, actions(5), unexpected)
    assert [next(outcomes).reason for _ in range(5)] == [None] * 5
    change_mapping(client, alias, stable.index)
    with pytest.raises(ElasticsearchRefusedError, match="was changed"):
        next(outcomes)


def test_a_load_whose_index_is_replaced_ends_with_one_line_and_the_next_one_completes(
    tmp_path: Path, client: Client, alias: str, environment: dict[str, str], home: Path, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    with loading(repository, environment, environment["ES_URL"], "20s") as process:
        index = manage.behind(client, alias)
        assert index is not None
        put_another_index_in_its_place(client, alias, index)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 5
    # There may be a request while there is none.
    assert re.search("was replaced by another index of that name|no longer lets us write", complaint)
    assert "Traceback" not in complaint
    assert not (home / "rejects").exists()
    assert ingest("load", repository.path).returncode == 0
    assert set(hashes(client, alias)) == repository.hashes()


@pytest.mark.slow
def test_a_state_that_is_deleted_during_a_load_is_made_again_with_its_mapping(
    tmp_path: Path, client: Client, alias: str, environment: dict[str, str], home: Path, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 1000)
    with loading(repository, environment, environment["ES_URL"], "20s") as process:
        before = client.indices.get_mapping(index=f"{alias}-state")[f"{alias}-state"]
        client.indices.delete(index=f"{alias}-state")
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert client.indices.get_mapping(index=f"{alias}-state")[f"{alias}-state"] == before
    assert set(hashes(client, alias)) == repository.hashes()
    assert ingest("load", repository.path).stdout.startswith("0 commits indexed")
