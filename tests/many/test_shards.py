"""An index in several shards, on one node and on three."""

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import elasticsearch
import pytest

from ingest.index import connection
from tests.conftest import Run
from tests.documents import counted, hashes
from tests.faults import test_cluster
from tests.faults.test_cluster import Cluster, green, urls
from tests.faults.test_server import kill
from tests.node.conftest import wait_for
from tests.repository import linear

cluster = test_cluster.cluster


def shape(client: elasticsearch.Elasticsearch, alias: str) -> tuple[str, str]:
    (index,) = client.indices.get_settings(index=alias, flat_settings=True).values()
    settings = index["settings"]
    return settings["index.number_of_shards"], settings["index.number_of_replicas"]


def primaries(client: elasticsearch.Elasticsearch, alias: str) -> list[dict[str, Any]]:
    shards = cast("list[dict[str, Any]]", client.cat.shards(index=alias, format="json"))
    return [each for each in shards if each["prirep"] == "p"]


@pytest.mark.slow
def test_shards_and_replicas_are_those_of_a_new_index_and_have_no_effect_on_one_that_exists(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 60)
    assert ingest("load", "--shards", "3", "--replicas", "0", repository.path).returncode == 0
    assert shape(client, alias) == ("3", "0")
    assert hashes(client, alias) == sorted(repository.hashes())
    # The documents of one repository are in all of them.
    assert all(int(each["docs"]) > 0 for each in primaries(client, alias))
    same = ingest("load", repository.path, INGEST_SHARDS="3")
    assert (same.returncode, same.stderr) == (0, "")
    other = ingest("load", repository.path, INGEST_SHARDS="2", INGEST_REPLICAS="1")
    assert other.returncode == 0
    first, second = other.stderr.splitlines()
    assert "number_of_shards stays 3: 2 is for a new index" in first
    assert "number_of_replicas stays 0: 1 is for a new index" in second
    assert ingest("reindex", "--shards", "2").returncode == 0
    assert shape(client, alias) == ("2", "0")
    assert hashes(client, alias) == sorted(repository.hashes())


@pytest.mark.slow
def test_loads_go_to_all_nodes_and_go_on_when_one_of_them_dies(
    cluster: Cluster, tmp_path: Path, environment: dict[str, str], alias: str
) -> None:
    repositories = [linear(tmp_path / f"r{number}", size) for number, size in enumerate((3000, 2000, 30))]
    command = [
        sys.executable, "-m", "ingest", "load", "--jobs", "2", "--shards", "3", "--replicas", "1", "--chunk-size", "10",
        "--retry-for", "2m", *(str(each.path) for each in repositories),
    ]  # fmt: skip
    surroundings = environment | {"ES_URL": urls(cluster)}
    with (
        connection.connect(tuple(info.url for info in cluster.values())) as client,
        subprocess.Popen(
            command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        wait_for(lambda: counted(client, alias) > 0)
        wait_for(lambda: green(client, alias))
        assert {each["node"] for each in primaries(client, alias)} == cluster.keys()
        wait_for(lambda: all(coordinated(client).values()))
        assert process.poll() is None
        kill(cluster["two"])
        said, complaint = process.communicate(timeout=240)
        assert process.returncode == 0, complaint
        assert said.startswith("3 repositories: 3 loaded, 0 unchanged, 0 failed\n5,030 commits indexed, 0 rejected")
        assert shape(client, alias) == ("3", "1")
        assert hashes(client, alias) == sorted(commit for each in repositories for commit in each.hashes())


def coordinated(client: elasticsearch.Elasticsearch) -> dict[str, int]:
    """How many bytes of documents each node was sent by clients."""
    nodes = client.nodes.stats(metric="indexing_pressure")["nodes"].values()
    return {node["name"]: node["indexing_pressure"]["memory"]["total"]["coordinating_in_bytes"] for node in nodes}
