"""What an index holds, and what it should hold: the items of Perceval itself."""

from pathlib import Path
from typing import Any

import elasticsearch
from elasticsearch.helpers import scan
from perceval.backends.core.git import Git

from ingest.index.conversion import item
from ingest.text import repaired


def documents(client: elasticsearch.Elasticsearch, alias: str) -> dict[str, dict[str, Any]]:
    """Every document, by `_id`."""
    client.indices.refresh(index=alias)
    return {hit["_id"]: hit["_source"] for hit in scan(client, index=alias, size=100)}


def hashes(client: elasticsearch.Elasticsearch, alias: str) -> list[str]:
    return sorted(document["hash"] for document in documents(client, alias).values())


def counted(client: elasticsearch.Elasticsearch, alias: str) -> int:
    """How many documents there are so far; none where the index does not exist, or its shards do not yet answer."""
    patient = client.options(ignore_status=[404, 503])
    patient.indices.refresh(index=alias)
    return int(patient.count(index=alias).get("count", 0))


def perceval_items(path: Path, origin: str, branches: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """What Perceval itself gives for a bare repository, by uuid, with the one repair that documents undergo."""
    backend = Git(origin, str(path))
    return {each["uuid"]: repaired(each) for each in backend.fetch(branches=branches, no_update=True)}


def without_time(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "timestamp"}


def assert_equal_to_perceval(
    client: elasticsearch.Elasticsearch,
    alias: str,
    mirror: Path,
    origin: str,
    *,
    project: str | None = None,
    branches: list[str] | None = None,
) -> None:
    """Compare the documents of an index with Perceval's items, `refs` included."""
    expected = {uuid: without_time(each) for uuid, each in perceval_items(mirror, origin, branches).items()}
    found = {uuid: without_time(item(each)) for uuid, each in documents(client, alias).items()}
    if project is not None:
        expected = {uuid: each | {"tag": project} for uuid, each in expected.items()}
    assert found == expected
