"""The ways that others go, each a whole program: Perceval in a loop, with ``index`` or with ``streaming_bulk``.

Usage: ``python -m benchmarks.peers chapter|bulk URL INDEX REPO MIRROR``, or ``ready URL INDEX FILE`` for documents that
were written down before, each in a line with its ``_id``, a tab, and its JSON.
"""

import sys
from collections.abc import Iterator
from typing import Any

import orjson
from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk
from perceval.backends.core.git import Git

from ingest.index.document import mapping
from ingest.text import repaired


def items(repository: str, mirror: str) -> Iterator[dict[str, Any]]:
    """Perceval's items; undecoded bytes, at which the client stops, are repaired."""
    for item in Git(repository, mirror).fetch():
        yield repaired(item)


def chapter(client: Elasticsearch, index: str, repository: str, mirror: str) -> None:
    """One request per commit."""
    for item in items(repository, mirror):
        client.index(index=index, id=item["uuid"], document=item)


def bulk(client: Elasticsearch, index: str, repository: str, mirror: str) -> None:
    """A thousand commits per request."""
    actions = ({"_index": index, "_id": item["uuid"], "_source": item} for item in items(repository, mirror))
    for _ in streaming_bulk(client, actions, chunk_size=1000):
        pass


def ready(client: Elasticsearch, index: str, file: str) -> None:
    """Documents that are ready, into an index with our mapping and the settings of a first load."""
    settings = {"refresh_interval": "-1", "number_of_replicas": "0"}
    client.indices.create(index=index, mappings=mapping(), settings=settings)

    def expanded(line: bytes) -> tuple[dict[str, Any], bytes]:
        identifier, _, source = line.partition(b"\t")
        return {"index": {"_id": orjson.loads(identifier)}}, source.rstrip(b"\n")

    with open(file, "rb") as lines:  # noqa: PTH123
        for _ in streaming_bulk(client, lines, chunk_size=1000, index=index, expand_action_callback=expanded):  # type: ignore[arg-type]
            pass
    client.indices.refresh(index=index)


def main() -> None:
    way, url, index, *rest = sys.argv[1:]
    with Elasticsearch(url, request_timeout=60) as client:
        if way == "ready":
            ready(client, index, *rest)
        else:
            {"chapter": chapter, "bulk": bulk}[way](client, index, *rest)


if __name__ == "__main__":
    main()
