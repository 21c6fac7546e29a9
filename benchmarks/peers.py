"""The ways that others go, each a whole program: Perceval in a loop, with ``index`` or with ``streaming_bulk``.

Usage: ``python -m benchmarks.peers chapter|bulk URL INDEX REPO MIRROR``
"""

import sys
from collections.abc import Iterator
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk
from perceval.backends.core.git import Git

from ingest.index.conversion import repaired


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


def main() -> None:
    way, url, index, repository, mirror = sys.argv[1:]
    with Elasticsearch(url, request_timeout=60) as client:
        {"chapter": chapter, "bulk": bulk}[way](client, index, repository, mirror)


if __name__ == "__main__":
    main()
