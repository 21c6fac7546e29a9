"""Credentials with markers in them, looked for in all that a run leaves or prints, however it ends."""

import base64
import contextlib
import functools
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import elasticsearch
import orjson
import psutil
import pytest
import trustme

from ingest.index.document import mapping
from ingest.node import NodeInfo
from tests.gate import Gate, in_file, standing
from tests.node.conftest import wait_for
from tests.repository import linear

KEY = base64.b64encode(b"marker-key-id:marker-key-secret").decode()
USER, PASSWORD = "marker-es-user", "marker-es p@ss/w%rd"
GIT_USER, GIT_PASSWORD = "marker-git-user", "marker-git p@ss/w%rd"
LOGIN = f"{quote(USER)}:{quote(PASSWORD, '')}@"
GIT_LOGIN = f"{quote(GIT_USER)}:{quote(GIT_PASSWORD, '')}@"


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def forms() -> set[bytes]:
    """Each way to write a secret that we know of."""
    plain = {PASSWORD, GIT_PASSWORD, "marker-key-secret"}
    written = {quote(each) for each in plain} | {quote(each, "") for each in plain}
    encoded = {KEY, basic(USER, PASSWORD), basic(GIT_USER, GIT_PASSWORD)}
    encoded |= {base64.b64encode(each.encode()).decode() for each in plain}
    return {each.encode() for each in plain | written | encoded | {GIT_USER, "marker"}}


@dataclass
class Way:
    """How Elasticsearch is told to let us in.

    :ivar authorization: what it is then sent
    :ivar secrets: that by itself, as it may be repeated
    :ivar in_url: what stands before the host
    """

    variables: Callable[[Path], dict[str, str]]
    authorization: str
    secrets: tuple[str, ...] = (PASSWORD, quote(PASSWORD), quote(PASSWORD, ""))
    in_url: str = ""


WAYS = {
    "key": Way(lambda _: {"ES_API_KEY": KEY}, f"ApiKey {KEY}", ("marker-key-secret",)),
    "key file": Way(lambda folder: {"ES_API_KEY_FILE": in_file(folder, KEY)}, f"ApiKey {KEY}", ("marker-key-secret",)),
    "password": Way(lambda _: {"ES_USERNAME": USER, "ES_PASSWORD": PASSWORD}, f"Basic {basic(USER, PASSWORD)}"),
    "password file": Way(
        lambda folder: {"ES_USERNAME_FILE": in_file(folder, USER), "ES_PASSWORD_FILE": in_file(folder, PASSWORD)},
        f"Basic {basic(USER, PASSWORD)}",
    ),
    "url": Way(lambda _: {}, f"Basic {basic(USER, PASSWORD)}", in_url=LOGIN),
}


EACH_KIND = [
    pytest.param(way, id=name, marks=() if name == "url" else pytest.mark.slow)
    for name, way in WAYS.items()
    if "file" not in name
]


@dataclass
class Watched:
    """The command with credentials, and each git of it watched."""

    environment: dict[str, str]
    home: Path
    recorded: Path
    client: elasticsearch.Elasticsearch
    alias: str
    printed: list[str] = field(default_factory=list)

    def start(self, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-X", "faulthandler", "-m", "ingest", *arguments]
        return subprocess.Popen(
            command, env=self.environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, **variables: str) -> int:
        with self.start(*arguments, **variables) as process:
            return self.ended(process)

    def ended(self, process: "subprocess.Popen[str]") -> int:
        self.printed += process.communicate(timeout=120)
        return process.returncode

    def look_at(self, process: psutil.Process) -> None:
        """Take down what everybody sees of a process and its children, and what the children inherited."""
        self.printed += process.cmdline()
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                inherited = {
                    name: value for name, value in child.environ().items() if not name.startswith("INGEST_GIT_")
                }
                self.printed += [*child.cmdline(), str(inherited)]

    def leaks(self) -> dict[str, bytes]:
        """Where a secret, or a part of one, is found that should not be there."""
        found = {"output": "".join(self.printed).encode(), "git": self.recorded.read_bytes()}
        found |= {str(path): path.read_bytes() for path in self.home.rglob("*") if path.is_file()}
        for index in self.client.indices.get(index=f"{self.alias}*", expand_wildcards="all"):
            self.client.indices.refresh(index=index)
            hits = self.client.search(index=index, size=1000)["hits"]["hits"]
            found[index] = orjson.dumps([hits, dict(self.client.indices.get(index=index))])
        return {where: content[:2000] for where, content in found.items() if any(form in content for form in forms())}


@pytest.fixture
def watched(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    home: Path,
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
) -> Watched:
    """In which git writes down its arguments, and its environment but for what it asks a password of."""
    recorded, wrapper = tmp_path / "recorded", tmp_path / "bin" / "git"
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{{ echo "$@"; env | grep -v ^INGEST_GIT_; }} >> {recorded}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    recorded.touch()
    kept = {name: value for name, value in environment.items() if name != "ES_URL"}
    path = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    options = {
        "INGEST_LOG_FORMAT": getattr(request, "param", "text"),
        "INGEST_RETRY_FOR": "1s",
        "INGEST_REMOTE_TIMEOUT": "2s",
    }
    return Watched(kept | path | options, home, recorded, client, alias)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    return folder


class _Host(http.server.SimpleHTTPRequestHandler):
    """Serves a repository to who knows the password; tells others what it was sent."""

    status = 0

    def do_GET(self) -> None:
        sent = self.headers.get("Authorization", "nothing")
        if not self.status and sent == f"Basic {basic(GIT_USER, GIT_PASSWORD)}":
            super().do_GET()
            return
        asking = sent == "nothing"
        words = f"You sent {sent}, {GIT_LOGIN}, {GIT_USER} and {GIT_PASSWORD}\n".encode()
        self.send_response(401 if asking else self.status)
        if asking:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def hosted(folder: Path, status: int = 0) -> Iterator[str]:
    """The URL, credentials and all, of a repository; or of a host that refuses it with a status."""
    repository = linear(folder / "repository", 3)
    repository.git("clone", "--quiet", "--bare", ".", "../served/repo.git")
    subprocess.run(["git", "update-server-info"], cwd=folder / "served" / "repo.git", check=True)
    kind: Any = type("Host", (_Host,), {"status": status})
    handler = functools.partial(kind, directory=str(folder / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://{GIT_LOGIN}127.0.0.1:{server.server_port}/repo.git"
        server.shutdown()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[str]:
    with hosted(tmp_path) as url:
        yield url


def address(gate: Gate, way: Way) -> str:
    return gate.url.replace("://", f"://{way.in_url}")


def as_variables(watched: Watched, gate: Gate, way: Way, folder: Path) -> dict[str, str]:
    """What tells where Elasticsearch is, and all that opens it and the repository."""
    return {"ES_URL": address(gate, way)} | way.variables(folder)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_load_leaves_no_secret(way: Way, watched: Watched, server: NodeInfo, secrets: Path, repository: str) -> None:
    with standing(Gate(server.url, way.authorization)) as gate:
        given = as_variables(watched, gate, way, secrets)
        assert watched.run("load", **given | {"INGEST_REPO": repository}) == 0, watched.printed
    assert watched.client.count(index=watched.alias)["count"] == 3
    assert set(gate.brought) == {way.authorization}
    assert watched.leaks() == {}


@pytest.mark.slow
@pytest.mark.parametrize("watched", ["text", "json"], indirect=True)
def test_no_command_leaves_a_secret(watched: Watched, server: NodeInfo, secrets: Path, repository: str) -> None:
    way = WAYS["password"]
    with standing(Gate(server.url, way.authorization)) as gate:
        given = as_variables(watched, gate, way, secrets)
        for command in ("load", "load", "reindex", "verify", "status"):
            assert watched.run(command, **given | {"INGEST_REPO": repository}) == 0, watched.printed
    assert watched.leaks() == {}


COMPLAINTS = [(401, "application/json"), (403, "application/json"), (400, "application/json"),
              (500, "application/json"), (503, "application/json"), (302, "text/html"), (502, "text/html")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("way", EACH_KIND)
def test_a_server_that_refuses_us_and_repeats_what_it_was_sent(
    way: Way, watched: Watched, server: NodeInfo, secrets: Path, repository: str
) -> None:
    said = f"you sent {{sent}}, which is {' and '.join(way.secrets)}"
    with standing(Gate(server.url, "nothing", location="http://127.0.0.1:1/")) as gate:
        for status, kind in COMPLAINTS:
            gate.complaint, gate.kind = (status, said), kind
            given = as_variables(watched, gate, way, secrets)
            assert watched.run("load", **given | {"INGEST_REPO": repository}) == 5
            assert status == 401 or str(status) in watched.printed[-1]
    assert set(gate.brought) == {way.authorization}
    assert watched.leaks() == {}


@contextmanager
def nobody(_: NodeInfo) -> Iterator[Gate]:
    yield Gate("", "", url="http://127.0.0.1:1")


@contextmanager
def distrusted(server: NodeInfo) -> Iterator[Gate]:
    with standing(Gate(server.url, ""), trustme.CA().issue_cert("127.0.0.1")) as gate:
        yield gate


@contextmanager
def hanging_up(_: NodeInfo) -> Iterator[Gate]:
    """A server that is killed whenever somebody talks to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=serve, daemon=True).start()
        yield Gate("", "", url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
@pytest.mark.parametrize("away", [nobody, distrusted, hanging_up])
@pytest.mark.parametrize("way", EACH_KIND)
def test_a_server_that_cannot_be_reached_or_trusted(
    way: Way,
    away: Callable[[NodeInfo], AbstractContextManager[Gate]],
    watched: Watched,
    server: NodeInfo,
    secrets: Path,
    repository: str,
) -> None:
    with away(server) as gate:
        given = as_variables(watched, gate, way, secrets)
        assert watched.run("load", **given | {"INGEST_REPO": repository}) == 5
    assert watched.leaks() == {}


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_host_that_refuses_us_and_repeats_what_it_was_sent(
    status: int, watched: Watched, server: NodeInfo, tmp_path: Path
) -> None:
    with hosted(tmp_path, status) as url:
        assert watched.run("load", ES_URL=server.url, INGEST_REPO=url) == 4
    assert watched.leaks() == {}


@pytest.mark.slow
def test_a_host_that_says_nothing(watched: Watched, server: NodeInfo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://{GIT_LOGIN}127.0.0.1:{listener.getsockname()[1]}/repo.git"
        assert watched.run("load", ES_URL=server.url, INGEST_REPO=url) == 4
    assert watched.leaks() == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGKILL,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGABRT)),
    ],
)
@pytest.mark.parametrize("while_waiting_for", ["git", "Elasticsearch"])
def test_a_run_that_is_ended(
    number: signal.Signals, while_waiting_for: str, watched: Watched, server: NodeInfo, secrets: Path, repository: str
) -> None:
    way = WAYS["password"]
    with socket.create_server(("127.0.0.1", 0)) as silent, standing(Gate(server.url, way.authorization)) as gate:
        given = as_variables(watched, gate, way, secrets) | {"INGEST_RETRY_FOR": "60s", "INGEST_REMOTE_TIMEOUT": "60s"}
        given["INGEST_REPO"] = repository
        if while_waiting_for == "git":
            given["INGEST_REPO"] = f"http://{GIT_LOGIN}127.0.0.1:{silent.getsockname()[1]}/repo.git"
        else:
            gate.wanted, gate.complaint = "nothing", (503, "later, {sent}")
        with watched.start("load", **given) as process:
            wait_for(lambda: "clone" in watched.recorded.read_text() if while_waiting_for == "git" else gate.brought)
            watched.look_at(psutil.Process(process.pid))
            process.send_signal(number)
            watched.ended(process)
    assert watched.leaks() == {}


@pytest.mark.slow
def test_a_credential_with_the_end_of_its_line_is_taken_without_it(
    watched: Watched, server: NodeInfo, repository: str
) -> None:
    """As a Kubernetes secret often holds it; a header cannot."""
    with standing(Gate(server.url, f"ApiKey {KEY}")) as gate:
        assert watched.run("load", ES_URL=gate.url, ES_API_KEY=f"{KEY}\n", INGEST_REPO=repository) == 0
        assert watched.run("load", ES_URL=gate.url, ES_API_KEY=f"{KEY}\nx", INGEST_REPO=repository) == 2
        assert watched.run("load", ES_URL=gate.url, ES_API_KEY=f"{KEY} \u20ac", INGEST_REPO=repository) == 2
    assert watched.leaks() == {}


@pytest.mark.parametrize("way", EACH_KIND)
def test_a_defect_is_told_without_secrets_and_asks_for_a_report(
    way: Way, server: NodeInfo, secrets: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The worst one: its message is the whole environment, the arguments, and what would be sent."""
    program = (
        "import os, sys\nfrom ingest import cli, pipeline\n"
        "def load(remote, job):\n"
        "    raise RuntimeError(os.environ, sys.argv, remote.username, remote.password, vars(job.settings),\n"
        "                       vars(job.target.client)['_headers'], '\\x1b[31m')\n"
        "pipeline.load = load\ncli.main()\n"
    )
    with standing(Gate(server.url, way.authorization)) as gate:
        repository = f"http://{GIT_LOGIN}127.0.0.1:1/repo.git"
        given = {"ES_URL": address(gate, way)} | way.variables(secrets)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", program, "load", repository],
            env=environment | given, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert done.stderr.endswith(
        "This is a defect of ingest: please report it, with the lines above. It is safe to run again.\n"
    )
    assert "\x1b" not in done.stderr
    assert not [form for form in forms() - {b"marker"} if form in done.stderr.encode()]


@pytest.mark.slow
def test_what_is_listed_as_rejected_holds_no_secret(
    watched: Watched, client: elasticsearch.Elasticsearch, alias: str, server: NodeInfo, home: Path, repository: str
) -> None:
    other = mapping()
    other["properties"]["subject"] = {"type": "long"}
    client.indices.create(index=f"{alias}-1", mappings=other, aliases={alias: {}})
    with standing(Gate(server.url, f"ApiKey {KEY}")) as gate:
        given = {"ES_URL": gate.url, "ES_API_KEY": KEY, "INGEST_REPO": repository}
        assert watched.run("load", **given) == 3
        (file,) = (home / "rejects").iterdir()
        assert watched.run("replay", str(file), **given) == 3
    assert len(list((home / "rejects").iterdir())) == 1
    assert watched.leaks() == {}
    assert open_to_others(home) == []


def open_to_others(home: Path) -> list[Path]:
    """What is below INGEST_HOME that others can read, or could reach."""
    return [
        path
        for path in home.rglob("*")
        if path.stat().st_mode & 0o077
        and not any(parent.stat().st_mode & 0o077 == 0 for parent in path.parents if home in parent.parents)
        and path.suffix != ".lock"
    ]
