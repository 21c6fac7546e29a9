"""Connections that break off, anywhere in requests and responses, in every command."""

import re
import shutil
import sys
from pathlib import Path

import elasticsearch
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.node import NodeInfo
from tests.conftest import Run
from tests.documents import assert_equal_to_perceval, hashes
from tests.faults.proxy import breaking
from tests.repository import linear
from tests.secure import secure_node
from tests.terminal import on_a_terminal

# Requests are some kilobytes each, and of their answers the longest too.
BYTES = (100_000, 50_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_load_goes_on_where_requests_and_responses_break_off(
    seed: int,
    tmp_path: Path,
    server: NodeInfo,
    client: elasticsearch.Elasticsearch,
    alias: str,
    home: Path,
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 1000)
    with breaking(server.url, b"/_bulk", BYTES, seed) as (url, way):
        done = ingest("load", "--chunk-size", "20", repository.path, ES_URL=url, INGEST_RETRY_FOR="2m")
    assert done.returncode == 0, done.stderr
    assert way.cuts > 5
    assert done.stdout.startswith("1,000 commits indexed, 0 rejected")
    origin = str(repository.path)
    assert_equal_to_perceval(client, alias, mirror.folder(home, Remote(origin)), origin)


@pytest.mark.slow
def test_so_does_a_run_that_compares_what_the_index_holds_with_the_repository(
    tmp_path: Path, server: NodeInfo, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    assert ingest("load", repository.path).returncode == 0
    client.indices.delete(index=f"{alias}-state")
    repository.git("reset", "--quiet", "--hard", "HEAD~1000")
    repository.commit("Another way")
    # The first look at all documents is an answer of a megabyte.
    with breaking(server.url, b"/_search", (60_000, 3_000_000), 4) as (url, way):
        done = ingest("load", "--chunk-size", "50", repository.path, ES_URL=url)
    assert done.returncode == 0, done.stderr
    assert way.cuts > 0
    assert done.stdout.startswith("1 commits indexed, 1,000 deleted, 0 rejected")
    assert set(hashes(client, alias)) == repository.hashes()


def test_a_node_that_cannot_be_reached_is_no_matter_where_there_is_another(
    tmp_path: Path, server: NodeInfo, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3)
    for urls in (f"http://127.0.0.1:1,{server.url}", f"{server.url},http://127.0.0.1:1"):
        for command in (["load", repository.path], ["verify"], ["status"]):
            done = ingest(*command, ES_URL=urls)
            assert (done.returncode, done.stderr) == (0, "")
    assert hashes(client, alias) == sorted(repository.hashes())


@pytest.mark.slow
def test_a_load_over_tls_goes_on_too(
    tmp_path: Path, open_folder: Path, environment: dict[str, str], ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 1000)
    node, authority = secure_node(open_folder / "cut", {"loader": ("secret", "superuser")}, "{}")
    info = node.start()
    known = {"ES_USERNAME": "loader", "ES_PASSWORD": "secret", "ES_CA_CERTS": str(authority)}
    # Nothing can be seen in what passes: it breaks from the beginning, once the index is there.
    assert ingest("load", linear(tmp_path / "other", 1).path, ES_URL=info.url, **known).returncode == 0
    with breaking(info.url, b"", (400_000, 100_000), 8) as (url, way):
        secret = url.replace("http:", "https:")
        done = ingest("load", "--chunk-size", "20", repository.path, ES_URL=secret, INGEST_RETRY_FOR="2m", **known)
    node.stop()
    assert done.returncode == 0, done.stderr
    assert way.cuts > 0
    assert done.stdout.startswith("1,000 commits indexed, 0 rejected")
    assert "now holds 1,001" in done.stdout


@pytest.mark.slow
def test_requests_that_are_too_long_for_somebody_in_between_are_sent_in_parts(
    tmp_path: Path, server: NodeInfo, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 500)
    most = (100_000, 1_000_000)
    with breaking(server.url, b"/_bulk", most, 9, nearest=most) as (url, way):
        done = ingest("load", repository.path, ES_URL=url, INGEST_RETRY_FOR="2m")
    assert done.returncode == 0, done.stderr
    assert way.cuts > 1
    assert hashes(client, alias) == sorted(repository.hashes())


@pytest.mark.slow
def test_the_bar_counts_what_is_sent_again(
    tmp_path: Path, server: NodeInfo, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    repository = linear(tmp_path / "repository", 500)
    with breaking(server.url, b"/_bulk", BYTES, 7) as (url, way):
        code, shown = on_a_terminal(
            [sys.executable, "-m", "ingest", "load", "--chunk-size", "20", str(repository.path)],
            environment | {"ES_URL": url, "INGEST_RETRY_FOR": "2m"},
        )
    assert code == 0, shown
    assert way.cuts > 0
    assert re.search(r"500/500 .*retried=\d+", shown)
    assert len(hashes(client, alias)) == 500


@pytest.mark.slow
def test_so_does_a_reindex(
    tmp_path: Path, server: NodeInfo, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    one, two = linear(tmp_path / "one", 500), linear(tmp_path / "two", 300)
    assert ingest("load", one.path, two.path).returncode == 0
    shutil.rmtree(two.path)
    before = hashes(client, alias)
    with breaking(server.url, b"-state", (150_000, 600_000), 5) as (url, way):
        done = ingest("reindex", "--chunk-size", "20", one.path, ES_URL=url, INGEST_RETRY_FOR="2m")
    assert done.returncode == 0, done.stderr
    assert way.cuts > 1
    assert hashes(client, alias) == before


@pytest.mark.slow
def test_so_does_a_verify(
    tmp_path: Path, server: NodeInfo, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    assert ingest("load", repository.path).returncode == 0
    gone = hashes(client, alias)[0]
    (hit,) = client.search(index=alias, query={"term": {"hash": gone}})["hits"]["hits"]
    client.delete(index=alias, id=hit["_id"], refresh=True)
    with breaking(server.url, b"_mget", (200_000, 3_000_000), 6) as (url, way):
        done = ingest("verify", "--repair", repository.path, ES_URL=url)
    assert done.returncode == 0, done.stderr
    assert way.cuts > 0
    assert done.stdout.splitlines()[0] == f"missing {gone}"
    assert set(hashes(client, alias)) == repository.hashes()
