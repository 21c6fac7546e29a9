"""Cloning and fetching, with and without credentials."""

import base64
import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import elasticsearch
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from tests.conftest import Run
from tests.documents import documents, hashes
from tests.repository import Repository, linear, recording_git

USERNAME, PASSWORD = "marker-user", "marker p@ss/w%rd"
IN_A_URL = "marker-user:marker%20p%40ss%2Fw%25rd"


class _AskingForAPassword(http.server.SimpleHTTPRequestHandler):
    """Serves files, which is all that git needs to clone, to those who know the password."""

    def do_GET(self) -> None:
        expected = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {expected}":
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return linear(tmp_path / "repository", 5)


@pytest.fixture
def guarded(tmp_path: Path, repository: Repository) -> Iterator[str]:
    """The address, without its scheme, of a repository that only its password opens."""
    repository.git("clone", "--quiet", "--bare", ".", "../served/repo.git")
    subprocess.run(["git", "update-server-info"], cwd=tmp_path / "served" / "repo.git", check=True)
    handler = functools.partial(_AskingForAPassword, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}/repo.git"
        server.shutdown()


def files_that_hold(folder: Path, *secrets: str) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


def test_credentials_of_a_url_open_the_repository_and_appear_nowhere(
    tmp_path: Path, guarded: str, repository: Repository, home: Path, client: elasticsearch.Elasticsearch, alias: str,
    ingest: Run,
) -> None:  # fmt: skip
    # What it writes down, everybody on the machine could read in the list of processes.
    path, recorded = recording_git(tmp_path)
    for _ in range(2):
        done = ingest("load", INGEST_REPO=f"http://{IN_A_URL}@{guarded}", PATH=path)
        assert done.returncode == 0, done.stderr
    assert hashes(client, alias) == sorted(repository.hashes())
    indexed = documents(client, alias)
    assert {document["origin"] for document in indexed.values()} == {f"http://{guarded}"}
    secrets = (USERNAME, PASSWORD, *IN_A_URL.split(":"))
    told = f"{done.stdout}{done.stderr}{indexed}{recorded.read_text()}"
    assert "clone" in recorded.read_text()
    assert [secret for secret in secrets if secret in told] == []
    assert files_that_hold(home, *secrets) == []


def test_wrong_credentials_are_an_error_that_does_not_repeat_them(guarded: str, home: Path, ingest: Run) -> None:
    done = ingest("load", INGEST_REPO=f"http://marker-user:marker-wrong@{guarded}")
    assert done.returncode == 4
    assert f"http://{guarded}" in done.stderr
    assert "marker" not in done.stderr + done.stdout
    assert files_that_hold(home, "marker") == []


def test_a_clone_that_was_killed_is_not_taken_for_a_mirror(
    repository: Repository, home: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    place = mirror.folder(home, Remote(str(repository.path)))
    shutil.copytree(repository.path / ".git", place.with_name(place.name + ".partial"))
    assert ingest("load", repository.path).returncode == 0
    assert sorted(path.name for path in place.parent.iterdir()) == [
        place.name, f"{place.name}.items", f"{place.name}.lock"
    ]  # fmt: skip
    assert hashes(client, alias) == sorted(repository.hashes())


def test_a_mirror_that_another_run_holds_is_exit_6(repository: Repository, home: Path, ingest: Run) -> None:
    place = mirror.folder(home, Remote(str(repository.path)))
    with mirror.held(place):
        done = ingest("load", repository.path)
    assert done.returncode == 6
    assert str(place) in done.stderr
    assert ingest("load", repository.path).returncode == 0


def test_a_killed_run_holds_nothing(repository: Repository, home: Path, ingest: Run) -> None:
    place = mirror.folder(home, Remote(str(repository.path)))
    code = "import sys, pathlib, ingest.git.mirror as m\n"
    code += "with m.held(pathlib.Path(sys.argv[1])): print(flush=True); input()"
    command = [sys.executable, "-c", code, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert ingest("load", repository.path).returncode == 6
        holder.kill()
        holder.wait()
    assert ingest("load", repository.path).returncode == 0


def test_mirrors_are_private_and_run_no_hook(
    tmp_path: Path, repository: Repository, home: Path, ingest: Run, environment: dict[str, str]
) -> None:
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    (template / "reference-transaction").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (template / "reference-transaction").chmod(0o755)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {template.parent}\n")
    for _ in range(2):
        assert ingest("load", repository.path, HOME=str(tmp_path / "user")).returncode == 0
        repository.commit()
    assert not (tmp_path / "ran").exists()
    assert (home / "mirrors").stat().st_mode & 0o077 == 0


def test_a_users_git_configuration_does_not_change_what_is_indexed(
    tmp_path: Path, repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository.commit("Rename", {"file-1.txt": None, "renamed é.txt": (repository.path / "file-1.txt").read_text()})
    assert ingest("load", repository.path).returncode == 0
    before = documents(client, alias)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / ".gitconfig").write_text(
        "[log]\n\tdate = iso\n\tshowSignature = true\n[diff]\n\trenames = false\n\tnoprefix = true\n"
        "[core]\n\tquotePath = false\n\tabbrev = 40\n[format]\n\tpretty = oneline\n"
    )
    assert ingest("load", repository.path, HOME=str(tmp_path / "user")).returncode == 0
    after = documents(client, alias)
    for document in (*before.values(), *after.values()):
        del document["ingested_at"]
    assert after == before
