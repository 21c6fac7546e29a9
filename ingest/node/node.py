"""The embedded Elasticsearch: one real server per INGEST_HOME, started when needed and left running."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil
from filelock import FileLock, Timeout

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError
from ingest.node import configuration, processes
from ingest.node.account import Account, check_reachable, let_through, passage, private_folder, server_account
from ingest.node.distribution import DEFAULT_VERSION, Distribution, install
from ingest.node.probe import ask
from ingest.node.reason import reason

START_DEADLINE = 180
"""Seconds that a server may take until it answers; a small, busy machine needs half a minute."""
STOP_DEADLINE = 30
"""Seconds that a server may take to end before it is killed."""
QUICK_LAUNCH = "-XX:TieredStopAtLevel=1"
"""For the launcher's own short Java programs, not the server: compile less, which halves their time."""


def _silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class NodeInfo:
    """A running node.

    :param url: where it answers, such as ``http://127.0.0.1:9200``; https when its configuration says so
    :param pid: the server's process
    :param version: of Elasticsearch, such as ``9.2.0``
    :param home: the INGEST_HOME it belongs to
    :param logs: the folder of its log files
    """

    url: str
    pid: int
    port: int
    version: str
    home: Path
    logs: Path


class Node:
    """The Elasticsearch that belongs to ``home`` and keeps its data, logs and configuration in ``home/node``.

    :param home: INGEST_HOME
    :param heap: the server's memory for objects, as Java writes it: ``512m``, ``1g``
    :param version: which server to start, a key of ``distribution.SHA256``
    :param config: lines of ``elasticsearch.yml`` that override ours; lists are comma-separated
    :param port: the HTTP port; None: the one it had before, or the first free one from 9200 to 9299
    :param say: is given a short line for people, now and then
    :param cache: folder that the programs are kept in, which several nodes may share; None: ``home/node``
    :param jvm_options: further Java options for the server

    A node that runs already stays as it is, whatever the parameters: stop it to change it.
    """

    def __init__(
        self,
        home: Path,
        *,
        heap: str = "1g",
        version: str = DEFAULT_VERSION,
        config: Mapping[str, str] = MappingProxyType({}),
        port: int | None = None,
        say: Callable[[str], None] = _silent,
        cache: Path | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        self.home = home
        self._heap = heap
        self._version = version
        self._config = config
        self._port = port
        self._say = say
        self._cache = cache
        self._jvm_options = jvm_options

    @property
    def folder(self) -> Path:
        """What the node keeps; its real path, because processes are recognised by it."""
        return self.home.resolve() / "node"

    @property
    def logs(self) -> Path:
        """The folder of the server's log files."""
        return self.folder / "logs"

    def start(self) -> NodeInfo:
        """Return the node that runs, after starting it if none does; it answers, with health yellow or green.

        A start that is under way, begun by another process or one that was killed, is waited for.

        :raises ElasticsearchUnavailableError: the download or the start failed; it tells why
        :raises ElasticsearchRefusedError: a folder is closed, the port taken, the disk full
        """
        account = server_account()
        with self._plain_errors():
            self._make_folder(account)
            with self._locked():
                if processes.find(self.logs):
                    return self._wait_until_ready()
                launcher = self._launch(account)
                try:
                    info = self._wait_until_ready([psutil.Process(launcher.pid)])
                finally:
                    _collect(launcher)
                self._say(f"Elasticsearch {info.version} answers at {info.url}")
                return info

    def stop(self) -> bool:
        """End the node, by force after 30 seconds; its data stay. Return whether one was running.

        :raises ElasticsearchRefusedError: it belongs to another user
        """
        with self._plain_errors():
            if not self.folder.exists():
                return False
            with self._locked():
                return self._end()

    def status(self) -> NodeInfo | None:
        """Return the node that runs; None when there is none, or it does not answer (yet)."""
        with self._plain_errors():
            server = processes.find_server(self.logs)
            port = configuration.read_port(self.folder) if server else None
        answer = ask(port) if port else None
        return self._info(server, port, answer.url) if server and port and answer else None

    def _end(self) -> bool:
        ended = False
        try:
            # The launcher may start another process just before it is ended itself.
            while running := processes.find(self.logs):
                processes.terminate(running, STOP_DEADLINE)
                ended = True
        except psutil.AccessDenied as error:
            raise ElasticsearchRefusedError(
                f"The embedded Elasticsearch (process {error.pid}) belongs to another user",
                "stop it as the user who started it, or as root",
            ) from error
        return ended

    def _info(self, server: psutil.Process, port: int, url: str) -> NodeInfo:
        return NodeInfo(url, server.pid, port, processes.version(server), self.home, self.logs)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ElasticsearchRefusedError(
                f"The embedded Elasticsearch can't use {error.filename or self.folder}: {error.strerror}",
                "make room or give access there, or set INGEST_HOME to another folder",
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other starts and stops of this node out; the lock of a process that is killed is freed."""
        lock = FileLock(self.folder / "node.lock")
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            self._say("Waiting for another start or stop of this Elasticsearch")
            held = lock.acquire()
        with held:
            yield

    def _make_folder(self, account: Account | None) -> None:
        """Make the folders; as root, passable for the server's user, who owns only what the server writes."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            let_through(self.home, account)
            let_through(self.folder, account)
            passage(self.folder, account)  # refuses early what it cannot give

    def _launch(self, account: Account | None) -> subprocess.Popen[bytes]:
        """Start the distribution's launcher, which starts the server and ends when that is up."""
        if self._port is not None:
            _check_free(self._port)
        cache = self._cache or self.folder
        programs = install(cache.resolve(), self._version, self._say)
        through = passage(self.folder, account) if account else []
        if account and self.folder not in programs.server.parents:
            check_reachable(programs.server, account)
        self._configure(programs.server, account)
        self._say(f"Starting Elasticsearch {self._version}")
        (self.folder / "start.log").touch(mode=0o600)
        with (self.folder / "start.log").open("wb") as output:
            return subprocess.Popen(
                [
                    *through,
                    programs.server / "bin" / "elasticsearch",
                    "--daemonize",
                    processes.launcher_mark(self.logs),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C and the end of a terminal are not meant for it
                env=self._environment(programs),
                cwd="/",
                user=account.uid if account and not through else None,
                group=account.gid if account and not through else None,
                extra_groups=[] if account and not through else None,
            )

    def _configure(self, server: Path, account: Account | None) -> None:
        before = configuration.read_port(self.folder)
        for name in ("config", "data", "logs", "tmp"):
            private_folder(self.folder / name, account)
        if self._port is not None:
            http_port = str(self._port)
        else:
            http_port = ",".join(filter(None, [str(before or ""), configuration.DEFAULT_PORTS]))
        settings = configuration.settings(self.folder, http_port, self._config)
        configuration.write(
            self.folder,
            server=server,
            yml=settings,
            heap=self._heap,
            jvm_options=self._jvm_options,
            account=account,
        )
        configuration.remove_ports_file(self.folder)

    def _environment(self, programs: Distribution) -> dict[str, str]:
        """Return all that the server gets to know of our environment: nothing secret."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "ES_JAVA_HOME": str(programs.java),
            "ES_PATH_CONF": str(self.folder / "config"),
            "ES_TMPDIR": str(self.folder / "tmp"),
            "CLI_JAVA_OPTS": QUICK_LAUNCH,
        }

    def _wait_until_ready(self, launched: Sequence[psutil.Process] = ()) -> NodeInfo:
        deadline = time.monotonic() + START_DEADLINE
        running = self._running(launched)
        while running:
            info = self._ready()
            if info:
                return info
            if time.monotonic() > deadline:
                raise self._too_slow()
            time.sleep(0.1)
            if not all(processes.alive(process) for process in running):
                running = self._running(launched)
        raise ElasticsearchUnavailableError(
            f"The embedded Elasticsearch did not start:\n{reason(self.folder / 'start.log')}\n"
            f"All of it is in {self.folder / 'start.log'}",
            "remove the cause, or set ES_URL to an Elasticsearch that runs",
        )

    def _running(self, launched: Sequence[psutil.Process]) -> list[psutil.Process]:
        """What lives of a start; a launcher ends after its server has begun."""
        return [process for process in launched if processes.alive(process)] or processes.find(self.logs)

    def _ready(self) -> NodeInfo | None:
        port = configuration.read_port(self.folder)
        answer = ask(port) if port else None
        server = processes.find_server(self.logs) if answer and answer.ready else None
        return self._info(server, port, answer.url) if server and port and answer else None

    def _too_slow(self) -> ElasticsearchUnavailableError:
        """Leave no server behind that never answered; one that answers, with health red, stays."""
        answers = self.status() is not None
        if not answers:
            self._end()
        state = "its health stays red" if answers else "it does not answer, and was stopped"
        return ElasticsearchUnavailableError(
            f"The embedded Elasticsearch was not ready within {START_DEADLINE} seconds: {state}",
            f"look in {self.logs} for the cause, or set ES_URL to an Elasticsearch that runs",
        )


def _collect(launcher: subprocess.Popen[bytes]) -> None:
    """Leave no zombie: a launcher ends when its server is up or has failed, unless we were interrupted."""
    with suppress(subprocess.TimeoutExpired):
        launcher.wait(2)


def _check_free(port: int) -> None:
    """Fail at once where the server would fail after ten seconds."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise ElasticsearchRefusedError(
                f"Port {port} of 127.0.0.1 can't be had for the embedded Elasticsearch: {error.strerror}",
                "stop what uses it, or choose another port",
            ) from error
