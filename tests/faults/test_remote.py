"""The host of a repository goes silent, or we die while it sends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import elasticsearch
import psutil
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from tests.conftest import Run, free_port
from tests.documents import hashes
from tests.faults.proxy import breaking
from tests.node.conftest import wait_for
from tests.repository import Repository
from tests.test_errors import one_line


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two hundred kilobytes, which do not become fewer."""
    repository = Repository(tmp_path / "repository")
    for number in range(10):
        repository.commit(f"{number}", {f"{number}.bin": os.urandom(20_000)})
    return repository


@pytest.fixture
def daemon(repository: Repository) -> Iterator[str]:
    """The URL of a host that serves it by git's own protocol."""
    port = free_port()
    command = ["git", "daemon", "--export-all", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"]
    with subprocess.Popen([*command, f"--base-path={repository.path.parent}"], stderr=subprocess.DEVNULL) as process:
        with socket.socket() as probe:
            wait_for(lambda: probe.connect_ex(("127.0.0.1", port)) == 0)
        yield f"git://127.0.0.1:{port}/repository"
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()


@contextmanager
def silent_host() -> Iterator[str]:
    """Takes connections, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "scheme", ["http", *(pytest.param(each, marks=pytest.mark.slow) for each in ("https", "git", "ssh"))]
)
def test_a_host_that_says_nothing_is_given_up(scheme: str, home: Path, ingest: Run) -> None:
    with silent_host() as host:
        url = f"{scheme}://{host}/repository"
        done = ingest("load", "--remote-timeout", "1s", url)
    line = one_line(done, 4, url, "said nothing for 1 s", "--remote-timeout")
    assert "Running again may help" in line
    assert [path.suffix for path in (home / "mirrors").iterdir()] == [".lock"]


@pytest.mark.slow
def test_a_remote_that_goes_silent_in_the_middle_is_given_up_and_the_next_run_completes(
    repository: Repository, daemon: str, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    middle = (1_000_000, 100_000)
    with breaking(daemon, b"", middle, nearest=middle, silent=True) as (url, way):
        one_line(ingest("load", "--remote-timeout", "1s", url), 4, url, "said nothing")
        assert way.cuts == 1
        place = mirror.folder(home, Remote(url))
        assert not place.exists()
        way.nearest = way.furthest = (1_000_000, 1_000_000)
        assert ingest("load", url).returncode == 0
        assert hashes(client, alias) == sorted(repository.hashes())

        repository.commit("Large", {"large.bin": os.urandom(200_000)})
        way.nearest = way.furthest = middle
        one_line(ingest("load", "--remote-timeout", "1s", url), 4, url, "said nothing")
        way.nearest = way.furthest = (1_000_000, 1_000_000)
        assert ingest("load", url).returncode == 0
    assert hashes(client, alias) == sorted(repository.hashes())


@pytest.mark.slow
def test_git_that_is_busy_on_its_own_is_not_given_up(tmp_path: Path, repository: Repository, ingest: Run) -> None:
    busy = tmp_path / "bin" / "git"
    busy.parent.mkdir()
    # As long as a check of a large repository may take, in relation.
    busy.write_text(
        '#!/bin/bash\ncase "$*" in *clone*) for ((i = 0; i < 800000; i++)); do :; done;; esac\nexec git "$@"'
    )
    busy.chmod(0o755)
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    busy.write_text(busy.read_text().replace("exec git", f"exec {git}"))
    done = ingest("load", "--remote-timeout", "1s", repository.path, PATH=f"{busy.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGINT))],
)
def test_git_does_not_outlive_us(
    number: signal.Signals,
    repository: Repository,
    daemon: str,
    home: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    middle = (1_000_000, 100_000)
    with breaking(daemon, b"", middle, nearest=middle, silent=True) as (url, way):
        command = [sys.executable, "-m", "ingest", "load", url]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            wait_for(lambda: way.cuts)
            children = psutil.Process(process.pid).children(recursive=True)
            assert {child.name() for child in children} >= {"git"}
            process.send_signal(number)
            _, complaint = process.communicate(timeout=60)
        assert "Traceback" not in complaint
        _, left = psutil.wait_procs(children, timeout=30)
        assert left == []
        way.nearest = way.furthest = (1_000_000, 1_000_000)
        done = ingest("load", url)
        assert (done.returncode, done.stderr) == (0, "")
    assert hashes(client, alias) == sorted(repository.hashes())
