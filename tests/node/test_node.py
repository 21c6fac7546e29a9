"""The embedded Elasticsearch, started for real."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError
from ingest.node import Node, NodeInfo, processes
from ingest.node.account import server_account
from ingest.node.distribution import install
from tests.node.conftest import JVM_OPTIONS, small_node, wait_for
from tests.node_cache import node_cache

AS_ROOT = os.geteuid() == 0
START_IN_CHILD = """
import sys
from pathlib import Path
from ingest.node import Node
node = Node(Path(sys.argv[1]), heap="256m", cache=Path(sys.argv[2]), jvm_options=sys.argv[3:], say=print)
print(node.start().url)
"""


def request(info: NodeInfo, method: str, path: str, body: object = None) -> dict[str, object]:
    sent = urllib.request.Request(  # noqa: S310 (the address of our own server)
        f"{info.url}{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(sent, timeout=60) as response:  # noqa: S310
        answer: dict[str, object] = json.load(response)
    return answer


def start_in_child(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", START_IN_CHILD, str(home), str(node_cache()), *JVM_OPTIONS])


@contextmanager
def as_user(uid: int) -> Iterator[None]:
    """Be an ordinary user in the block; the interpreter itself may lie where only root can run it."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(uid, uid, 0)
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def somebody_on_port_9200() -> Iterator[None]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", 9200))
            listener.listen()
        except OSError:
            pass  # somebody is there already
        yield


@pytest.mark.slow
def test_a_node_is_found_again_and_keeps_its_data_and_port_when_its_server_is_killed(home: Path) -> None:
    node = small_node(home)
    assert node.status() is None
    assert node.stop() is False

    with somebody_on_port_9200(), ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda each: each.start(), [node, small_node(home)])
    assert first == second == node.status()
    assert 9200 < first.port <= 9299
    assert first.url == f"http://127.0.0.1:{first.port}"
    assert first.version == "9.2.0"
    assert [process.pid for process in processes.find(node.logs)] == [first.pid]
    assert_listens_on_loopback(first)
    assert_closed_to_others(home)

    request(first, "PUT", "/things/_doc/1?refresh=true", {"name": "kept"})
    psutil.Process(first.pid).kill()
    wait_for(lambda: not processes.find(node.logs))
    assert node.status() is None  # although its files are still there

    again = small_node(home).start()
    assert again.port == first.port
    assert again.pid != first.pid
    wait_for(lambda: request(again, "GET", "/_cluster/health")["status"] in {"yellow", "green"})
    assert request(again, "GET", "/things/_doc/1")["_source"] == {"name": "kept"}
    if AS_ROOT:
        assert_runs_unprivileged(again, home)
    assert node.stop() is True
    assert node.stop() is False
    assert processes.find(node.logs) == []


def assert_listens_on_loopback(info: NodeInfo) -> None:
    """For its clients, and for other nodes, which there are none of."""
    sockets = psutil.Process(info.pid).net_connections(kind="inet")
    listening = {each.laddr for each in sockets if each.status == psutil.CONN_LISTEN}
    assert info.port in {each.port for each in listening}
    assert all(ip_address(each.ip.removeprefix("::ffff:")).is_loopback for each in listening), listening


def assert_closed_to_others(home: Path) -> None:
    """Whoever is neither we nor the server's user sees nothing, not even names."""
    assert not any((home / "node" / name).stat().st_mode & 0o077 for name in ("config", "data", "logs", "tmp"))
    if AS_ROOT:
        with as_user(54321):
            for folder in ("", "config", "data", "logs", "tmp"):
                with pytest.raises(PermissionError):
                    list((home / "node" / folder).iterdir())
            with pytest.raises(PermissionError):
                (home / "node" / "config" / "elasticsearch.yml").read_text()


def assert_runs_unprivileged(info: NodeInfo, home: Path) -> None:
    assert psutil.Process(info.pid).username() == "nobody"
    assert psutil.Process(info.pid).gids().real != 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *(home / "node").iterdir())}
    assert modes == {
        home.name: 0o711,
        "config": 0o700,
        "data": 0o700,
        "logs": 0o700,
        "tmp": 0o700,
        "node.lock": modes["node.lock"],
        "start.log": 0o600,
    }
    for program in node_cache().glob("[ej]*/bin/*"):
        assert (program.stat().st_uid, stat.S_IMODE(program.stat().st_mode)) == (0, 0o755)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_server_whose_start_was_cut_off_can_be_stopped(home: Path, how: signal.Signals) -> None:
    node = small_node(home)
    child = start_in_child(home)
    wait_for(lambda: processes.find(node.logs))
    child.send_signal(how)
    child.wait()
    assert processes.find(node.logs) != []
    assert node.status() is None
    assert node.stop() is True
    assert processes.find(node.logs) == []


@pytest.mark.slow
def test_processes_whose_arguments_are_not_there_for_a_moment_are_not_taken_for_dead(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are while a process becomes another program, for longer on a busy machine."""
    looks: Counter[int] = Counter()
    arguments = processes._arguments

    def not_every_third_time(process: psutil.Process) -> set[str]:
        looks[process.pid] += 1
        return arguments(process) if looks[process.pid] % 3 else set()

    monkeypatch.setattr(processes, "_arguments", not_every_third_time)
    node = small_node(home)
    assert node.start().pid == node.start().pid
    assert node.stop()
    assert not node.stop()


@pytest.mark.slow
def test_a_start_that_was_killed_is_carried_on_by_the_next(home: Path) -> None:
    node = small_node(home)
    child = start_in_child(home)
    server = wait_for(lambda: processes.find_server(node.logs))
    assert server is not None
    child.kill()
    child.wait()
    assert node.start().pid == server.pid
    # Also one that hears nothing, because it is suspended, can be stopped.
    server.suspend()
    assert node.stop() is True
    assert not processes.alive(server)


def test_a_failed_start_tells_the_reason_that_java_gave(home: Path) -> None:
    with pytest.raises(ElasticsearchUnavailableError) as caught:
        Node(home, heap="1k", cache=node_cache()).start()
    assert "Too small maximum heap" in str(caught.value)
    assert f"All of it is in {home.resolve()}/node/start.log" in str(caught.value)


@pytest.mark.slow
def test_a_failed_start_tells_the_reason_that_the_server_gave(home: Path) -> None:
    with pytest.raises(ElasticsearchUnavailableError) as caught:
        small_node(home, config={"no.such": "thing"}).start()
    assert "\n  IllegalArgumentException: unknown setting [no.such] please check" in str(caught.value)
    assert "\tat " not in str(caught.value)
    assert processes.find(small_node(home).logs) == []


def test_a_port_that_is_taken_is_refused_before_anything_is_started(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ElasticsearchRefusedError, match=rf"Port {port} of 127\.0\.0\.1 can't be had"):
            Node(home, port=port, cache=node_cache()).start()


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs as another user")
def test_a_home_under_a_folder_closed_to_the_servers_user_works_and_leaves_that_closed(home: Path) -> None:
    node = small_node(home / "below")
    info = node.start()
    account = server_account()
    assert account is not None
    assert psutil.Process(info.pid).uids().real == account.uid
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert request(info, "GET", "/_cluster/health")["status"] in ("green", "yellow")
    assert node.stop()


@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs as another user")
def test_a_home_under_a_closed_folder_is_refused_where_no_process_may_have_a_view_of_its_own(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ElasticsearchRefusedError, match=f"^{home} is closed to other users"):
        small_node(home / "below").start()


@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_a_home_that_cannot_be_written_is_refused(home: Path) -> None:
    home.chmod(0o755)
    node = small_node(home)
    with as_user(1234), pytest.raises(ElasticsearchRefusedError, match=f"can't use {home}/node: Permission"):
        node.start()


@pytest.mark.slow
def test_a_node_that_wants_a_password_counts_as_up(home: Path) -> None:
    node = small_node(home, config={"xpack.security.enabled": "true"})
    info = node.start()
    assert node.status() == info
    with pytest.raises(urllib.error.HTTPError, match="401"):
        request(info, "GET", "/_cluster/health")


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")
def test_a_node_of_an_ordinary_user_runs_as_that_user(home: Path) -> None:
    install(node_cache(), "9.2.0", print)
    node = small_node(home)
    os.chown(home, 1234, 1234)
    with as_user(1234):
        info = node.start()
    assert psutil.Process(info.pid).uids().real == 1234
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    with as_user(4321), pytest.raises(ElasticsearchRefusedError, match="Permission denied"):
        node.stop()
    with as_user(1234):
        assert node.stop() is True


@pytest.mark.slow
def test_another_version_runs_beside(home: Path) -> None:
    node = Node(home, heap="256m", version="8.19.3", cache=node_cache(), jvm_options=JVM_OPTIONS)
    assert node.start().version == "8.19.3"
