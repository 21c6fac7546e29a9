"""Three nodes, of which one dies."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import elasticsearch
import pytest

from ingest.index import connection
from ingest.node import Node, NodeInfo
from tests.conftest import Run, free_port
from tests.documents import hashes
from tests.faults.test_server import assert_loaded, kill, loading
from tests.node.conftest import JVM_OPTIONS, wait_for
from tests.node_cache import node_cache
from tests.repository import linear

pytestmark = pytest.mark.slow

Cluster = dict[str, NodeInfo]


@pytest.fixture(scope="module")
def cluster(open_folder: Path) -> Iterator[Cluster]:
    """Three nodes on loopback, by name."""
    names = ["one", "two", "three"]
    ports = {name: free_port() for name in names}
    folder = open_folder / "cluster"
    folder.mkdir()
    nodes = {name: _node(folder / name, name, ports) for name in names}
    with ThreadPoolExecutor() as pool:
        started = dict(zip(names, pool.map(lambda node: node.start(), nodes.values()), strict=True))
    yield started
    for node in nodes.values():
        node.stop()
    shutil.rmtree(folder)


def _node(home: Path, name: str, ports: dict[str, int]) -> Node:
    home.mkdir()
    config = {
        "node.name": name,
        "discovery.type": "multi-node",
        "discovery.seed_hosts": ",".join(f"127.0.0.1:{port}" for port in ports.values()),
        "cluster.initial_master_nodes": ",".join(ports),
        "transport.port": str(ports[name]),
    }
    return Node(home, heap="512m", config=config, cache=node_cache(), jvm_options=JVM_OPTIONS, port=free_port())


def primary(client: elasticsearch.Elasticsearch, index: str) -> str:
    """The name of the node that holds the index's one primary shard."""
    shards = cast("list[dict[str, str]]", client.cat.shards(index=index, format="json"))
    (shard,) = (each for each in shards if each["prirep"] == "p")
    return shard["node"]


def urls(cluster: Cluster) -> str:
    return ",".join(info.url for info in cluster.values())


def green(client: elasticsearch.Elasticsearch, index: str) -> bool:
    return bool(client.cluster.health(index=index)["status"] == "green")


def test_a_load_goes_on_when_the_primary_shard_moves(
    cluster: Cluster, tmp_path: Path, environment: dict[str, str], alias: str
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    with connection.connect(tuple(info.url for info in cluster.values())) as client:
        with loading(repository, environment, urls(cluster), "2m") as process:
            before = primary(client, alias)
            client.indices.put_settings(index=alias, settings={"index.routing.allocation.exclude._name": before})
            wait_for(lambda: primary(client, alias) != before)
            assert process.poll() is None
            assert_loaded(process, repository, environment, next(iter(cluster.values())).url)
        assert hashes(client, alias) == sorted(repository.hashes())


def test_a_load_goes_on_when_the_node_with_the_primary_shard_dies(
    cluster: Cluster, tmp_path: Path, environment: dict[str, str], alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    with connection.connect(tuple(info.url for info in cluster.values())) as client:
        with loading(repository, environment, urls(cluster), "2m") as process:
            wait_for(lambda: green(client, f"{alias},{alias}-state"))
            assert process.poll() is None
            dead = cluster[primary(client, alias)]
            kill(dead)
            (alive, *_) = (info.url for info in cluster.values() if info is not dead)
            assert_loaded(process, repository, environment, alive)
        assert wait_for(lambda: primary(client, alias)) != next(name for name, info in cluster.items() if info is dead)
        again = ingest("load", repository.path, ES_URL=urls(cluster))
        assert (again.returncode, again.stderr) == (0, "")
        assert again.stdout.startswith("0 commits indexed, 0 rejected")
