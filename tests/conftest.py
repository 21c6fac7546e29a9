"""What the tests share: a real Elasticsearch, a home of their own, the command as users run it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import elasticsearch
import pytest

from ingest.index import connection
from ingest.node import Node, NodeInfo
from ingest.node.distribution import DEFAULT_VERSION
from tests.node.conftest import JVM_OPTIONS
from tests.node_cache import node_cache

Run = Callable[..., subprocess.CompletedProcess[str]]


def free_port() -> int:
    """A port that nothing listens on, so that a server finds it free again when it is started again."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that the server's user can reach too, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="ingest-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(open_folder: Path) -> Iterator[NodeInfo]:
    """A real Elasticsearch, on a port and in a folder of its own; ``INGEST_TEST_SERVER`` may name its version."""
    version = os.environ.get("INGEST_TEST_SERVER") or DEFAULT_VERSION
    node = Node(
        open_folder / "home",
        heap="512m",
        version=version,
        cache=node_cache(),
        port=free_port(),
        jvm_options=JVM_OPTIONS,
    )
    yield node.start()
    node.stop()


@pytest.fixture(scope="session")
def client(server: NodeInfo) -> Iterator[elasticsearch.Elasticsearch]:
    with connection.connect((server.url,)) as client:
        yield client


@pytest.fixture
def alias(client: elasticsearch.Elasticsearch, request: pytest.FixtureRequest) -> Iterator[str]:
    """An alias that no other test uses; whatever stands behind it goes with the test."""
    name = f"t{abs(hash(request.node.nodeid)):x}"
    yield name
    indices = client.indices.get(index=f"{name}*", expand_wildcards="all")
    if indices:
        client.indices.delete(index=list(indices))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty INGEST_HOME."""
    return tmp_path / "home"


def shell(server: NodeInfo, alias: str, home: Path) -> dict[str, str]:
    """What a user's shell would hold to load into the tests' server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ES_", "INGEST_", "GIT_"))}
    return kept | {"ES_URL": server.url, "INGEST_INDEX": alias, "INGEST_HOME": str(home), "INGEST_RETRY_FOR": "20s"}


def run_in(shell: dict[str, str], *arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, and give what it printed and its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "ingest", *map(str, arguments)],
        env=shell,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def environment(server: NodeInfo, alias: str, home: Path) -> dict[str, str]:
    """What a user's shell would hold to load into the tests' server."""
    return shell(server, alias, home)


@pytest.fixture
def ingest(environment: dict[str, str]) -> Run:
    """Run the command as a user does, and give what it printed and its exit code."""

    def run(*arguments: str | Path, timeout: float = 300, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_in(environment | variables, *arguments, timeout=timeout)

    return run
