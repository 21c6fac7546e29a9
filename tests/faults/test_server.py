"""The server dies, stops answering, or stays away."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index import connection
from ingest.index.bulk import send
from ingest.node import Node, NodeInfo
from tests.conftest import free_port
from tests.documents import assert_equal_to_perceval, counted
from tests.index.test_bulk import actions, ids, target
from tests.node.conftest import JVM_OPTIONS
from tests.node_cache import node_cache
from tests.repository import Repository, linear


@pytest.fixture
def doomed(open_folder: Path) -> Iterator[Node]:
    """A server to be killed, which comes back at the same address."""
    home = open_folder / "doomed"
    node = Node(home, heap="256m", cache=node_cache(), jvm_options=JVM_OPTIONS, port=free_port())
    yield node
    node.stop()
    shutil.rmtree(home)


Load = subprocess.Popen[str]


@contextmanager
def loading(
    repository: Repository, environment: dict[str, str], url: str, retry_for: str, chunk_size: int = 10
) -> Iterator[Load]:
    """Run a load until it has indexed its first documents."""
    options = ["--chunk-size", str(chunk_size), "--retry-for", retry_for]
    with (
        connection.connect(tuple(url.split(","))) as client,
        subprocess.Popen(
            [sys.executable, "-m", "ingest", "load", *options, str(repository.path)],
            env=environment | {"ES_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        while not counted(client, environment["INGEST_INDEX"]):
            assert process.poll() is None
        yield process


def kill(info: NodeInfo) -> None:
    process = psutil.Process(info.pid)
    process.kill()
    process.wait(30)


def still_waits(process: Load, seconds: int) -> None:
    """Check that a load neither fails nor ends."""
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)


def assert_loaded(process: Load, repository: Repository, environment: dict[str, str], url: str) -> None:
    """Check that a load ends well, with every commit there once."""
    said, complaint = process.communicate(timeout=240)
    assert process.returncode == 0, complaint
    total = len(repository.hashes())
    assert said.startswith(f"{total:,} commits indexed, 0 rejected")
    assert_complete(repository, environment, url)


def assert_complete(repository: Repository, environment: dict[str, str], url: str) -> None:
    alias, origin = environment["INGEST_INDEX"], str(repository.path)
    with connection.connect((url,)) as client:
        path = mirror.folder(Path(environment["INGEST_HOME"]), Remote(origin))
        assert_equal_to_perceval(client, alias, path, origin)


@pytest.mark.slow
@pytest.mark.parametrize("away", [0, 20])
def test_a_server_that_is_killed_and_comes_back_loses_nothing(
    away: int, doomed: Node, tmp_path: Path, environment: dict[str, str]
) -> None:
    info = doomed.start()
    repository = linear(tmp_path / "repository", 1000)
    with loading(repository, environment, info.url, "2m") as process:
        kill(info)
        if away:
            still_waits(process, away)
        assert doomed.start().url == info.url
        assert_loaded(process, repository, environment, info.url)


@pytest.mark.slow
def test_a_server_that_is_frozen_for_twenty_seconds_is_waited_for(
    doomed: Node, tmp_path: Path, environment: dict[str, str]
) -> None:
    info = doomed.start()
    repository = linear(tmp_path / "repository", 1000)
    with loading(repository, environment, info.url, "2m") as process:
        psutil.Process(info.pid).suspend()
        still_waits(process, 20)
        psutil.Process(info.pid).resume()
        assert_loaded(process, repository, environment, info.url)


@pytest.mark.slow
def test_a_request_that_a_frozen_server_does_not_answer_is_sent_again(
    doomed: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = doomed.start()
    monkeypatch.setattr(connection, "REQUEST_TIMEOUT", 1)
    retried: list[int] = []

    def thaw(count: int) -> None:
        retried.append(count)
        psutil.Process(info.pid).resume()

    with connection.connect((info.url,)) as client:
        stable = target(client, "frozen", chunk_size=10, retry_for=60)
        outcomes = send(stable, actions(30), thaw)
        first = next(outcomes)
        psutil.Process(info.pid).suspend()
        rest = list(outcomes)
        assert [outcome.reason for outcome in (first, *rest)] == [None] * 30
        assert retried
        assert len(ids(client, "frozen")) == 30


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_a_server_that_stays_away_ends_the_run_with_exit_5_and_the_next_run_finishes_the_work(
    how: str, doomed: Node, tmp_path: Path, environment: dict[str, str]
) -> None:
    info = doomed.start()
    repository = linear(tmp_path / "repository", 3000)
    with loading(repository, environment, info.url, "3s") as process:
        if how == "killed":
            kill(info)
        else:
            psutil.Process(info.pid).suspend()
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "for 3 s" in complaint
    assert "Running again may help" in complaint
    assert "Traceback" not in complaint
    psutil.Process(info.pid).resume() if how == "frozen" else doomed.start()
    with connection.connect((info.url,)) as client:
        client.indices.refresh(index=f"{environment['INGEST_INDEX']}-state")
        (entry,) = client.search(index=f"{environment['INGEST_INDEX']}-state")["hits"]["hits"]
        assert entry["_source"]["last_success"] is None
    with loading(repository, environment, info.url, "1m", chunk_size=1000) as process:
        process.wait(120)
    assert process.returncode == 0
    assert_complete(repository, environment, info.url)
