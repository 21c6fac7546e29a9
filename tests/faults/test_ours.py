"""We are stopped, at any moment, or the machine that we run on fails us: its disk, its clock, its limits."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import elasticsearch
import psutil
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from tests.conftest import Run
from tests.documents import assert_equal_to_perceval, hashes
from tests.repository import linear
from tests.test_errors import one_line

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "ingest"]
LOAD = [*PROGRAM, "load", "--chunk-size", "20", "--workers", "2"]


class Stop(NamedTuple):
    """A way to be stopped.

    ``codes``: how a run may end that is stopped so.
    """

    send: Callable[[subprocess.Popen[str], random.Random], None]
    codes: tuple[int, ...]


def kill(process: subprocess.Popen[str], chance: random.Random) -> None:
    process.kill()


def terminate(process: subprocess.Popen[str], chance: random.Random) -> None:
    process.terminate()


def press_ctrl_c(process: subprocess.Popen[str], chance: random.Random) -> None:
    """As a terminal does it: everybody in the foreground gets it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)


def press_ctrl_c_twice(process: subprocess.Popen[str], chance: random.Random) -> None:
    press_ctrl_c(process, chance)
    with suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(0, 1.5))
    press_ctrl_c(process, chance)


# Where Python has just begun, nothing of ours can put a signal into words.
STOPS = {
    "kill": Stop(kill, (-9,)),
    "terminate": Stop(terminate, (143, -15)),
    "ctrl-c": Stop(press_ctrl_c, (130, -2)),
    "ctrl-c twice": Stop(press_ctrl_c_twice, (130, -2)),
}


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid).children(recursive=True)
    return []


def stopped(stop: Stop, chance: random.Random, environment: dict[str, str], *arguments: str) -> None:
    """Stop a run at a random moment, and check that nothing is left of it."""
    with subprocess.Popen(
        [*LOAD, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        process_group=0,
    ) as process:  # fmt: skip
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 3))
        below = family(process)
        stop.send(process, chance)
        _, complaint = process.communicate(timeout=60)
    # Python itself, before it has come to us, says it with a traceback.
    if "KeyboardInterrupt" not in complaint or f"{ROOT}/ingest/" in complaint:
        assert "Traceback" not in complaint
        assert process.returncode in (0, *stop.codes), complaint
    assert psutil.wait_procs(below, 30)[1] == []


@pytest.mark.parametrize(
    ("how", "rounds"),
    [("kill", 2), *(pytest.param(how, 12, marks=pytest.mark.slow) for how in STOPS)],
)
def test_a_run_that_is_stopped_at_any_moment_leaves_nothing_behind_and_the_next_completes(
    how: str,
    rounds: int,
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    home: Path,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    chance = random.Random(f"{how} {rounds}")
    repository = linear(tmp_path / "repository", 1000)
    url = f"file://{repository.path}"
    for number in range(rounds):
        stopped(STOPS[how], chance, environment, url)
        if number % 2:
            continue
        done = ingest("load", url)
        assert (done.returncode, done.stderr) == (0, "")
        assert_equal_to_perceval(client, alias, mirror.folder(home, Remote(url)), url)
        assert [each.name for each in home.rglob("*.partial")] == []
        repository.git("reset", "--quiet", "--hard", f"HEAD~{chance.randint(1, 60)}")
        for _ in range(3):
            repository.commit(f"Round {number}", {"a.txt": f"{chance.random()}\n"})


def test_what_other_programs_repeat_at_once_is_no_second_ctrl_c(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    command = [*PROGRAM, "load", "--chunk-size", "1", str(repository.path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not client.options(ignore_status=[404, 503]).count(index=alias).get("count"):
            assert process.poll() is None
            client.options(ignore_status=404).indices.refresh(index=alias)
        for _ in range(3):
            process.terminate()
        _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (143, "ingest: Stopped by SIGTERM. It is safe to run again.\n")


def test_a_signal_that_is_to_be_ignored_is_ignored(tmp_path: Path, environment: dict[str, str]) -> None:
    """As a shell wants it of what it runs in the background."""
    command = "trap '' INT; exec \"$@\""
    repository = linear(tmp_path / "repository", 300)
    with subprocess.Popen(
        ["sh", "-c", command, "sh", *LOAD, str(repository.path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.startswith("300 commits indexed")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_may_be_closed(redirection: str, tmp_path: Path, environment: dict[str, str]) -> None:
    command = f'exec "$@" {redirection}'
    repository = linear(tmp_path / "repository", 3)
    done = subprocess.run(["sh", "-c", command, "sh", *LOAD, str(repository.path)], env=environment, check=False)
    assert done.returncode == 0


def test_results_that_nobody_takes(tmp_path: Path, environment: dict[str, str]) -> None:
    repository = linear(tmp_path / "repository", 3)
    commands = (["load", str(repository.path)], ["status"], ["search", "change"], ["search", "--count"], ["export"],
                ["show", repository.head()], ["report", "--out", "-"])  # fmt: skip
    for command in commands:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [*PROGRAM, *command], env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert "standard output (No space left on device)" in one_line(done, 2)


@pytest.mark.slow
@pytest.mark.parametrize("files", [8, 11, *(pytest.param(each, marks=pytest.mark.slow) for each in (12, 13, 14, 20))])
def test_too_few_files_may_be_open(files: int, tmp_path: Path, environment: dict[str, str], home: Path) -> None:
    repository = linear(tmp_path / "repository", 3)
    subprocess.run([*LOAD, str(repository.path)], env=environment, check=True, capture_output=True)
    before = sorted(home.rglob("*"))
    repository.commit("One more")
    command = f'ulimit -n {files}; exec "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", *LOAD, str(repository.path)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        assert "Running again may help" in one_line(done, done.returncode)
        assert done.returncode in (4, 5)
        assert set(before) <= set(home.rglob("*"))


@pytest.fixture
def on_a_disk_of(home: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a shell script that sees, below INGEST_HOME, a disk of its own, of so many megabytes."""
    home.mkdir()

    def run(megabytes: int, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        mount = f'set -u; mount -t tmpfs -o size={megabytes}m,mode=700 tmpfs "$INGEST_HOME" || exit 99\n'
        return subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", mount + script, "sh", *arguments],
            env=environment | {"LOAD": " ".join(LOAD)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


Disk = Callable[..., subprocess.CompletedProcess[str]]


def test_a_disk_that_is_full_when_something_new_is_fetched_damages_nothing(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, on_a_disk_of: Disk
) -> None:
    repository = linear(tmp_path / "repository", 10)
    url = f"file://{repository.path}"
    (tmp_path / "large.bin").write_bytes(os.urandom(6 << 20))
    script = """
        $LOAD "$1" || exit 90
        cp "$2" "$3" && cd "$3" && git add . && git -c user.name=a -c user.email=a@b commit -qm Large || exit 91
        $LOAD "$1" && exit 92
        echo "exit $?"
        mount -o remount,size=64m "$INGEST_HOME" && $LOAD "$1"
    """
    done = on_a_disk_of(5, script, url, str(tmp_path / "large.bin"), str(repository.path))
    assert done.returncode == 0, done.stderr
    assert "exit 4\n" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "No space left on device" in line
    assert "make room" in line
    assert hashes(client, alias) == sorted(repository.hashes())


@pytest.mark.slow
def test_a_disk_without_room_for_what_is_kept_costs_time_only(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, on_a_disk_of: Disk
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    script = """
        $LOAD --items-bytes 0 --since 2030-01-01 "$1" || exit 90
        dd if=/dev/zero of="$INGEST_HOME/filler" bs=4096 2> /dev/null
        truncate -s -65536 "$INGEST_HOME/filler"
        $LOAD "$1" || exit 92
        $LOAD "$1"
    """
    done = on_a_disk_of(5, script, str(repository.path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("3,000 commits indexed, 0 rejected") == 1
    assert "Traceback" not in done.stderr
    assert hashes(client, alias) == sorted(repository.hashes())


def test_a_home_that_is_read_only(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, on_a_disk_of: Disk
) -> None:
    repository = linear(tmp_path / "repository", 10)
    script = """
        $LOAD "$1" || exit 90
        git -C "$1" -c user.name=a -c user.email=a@b commit -q --allow-empty -m New
        mount -o remount,ro "$INGEST_HOME" || exit 91
        $LOAD "$1"
        echo "exit $?"
        mount -o remount,rw "$INGEST_HOME" && $LOAD "$1"
    """
    done = on_a_disk_of(5, script, str(repository.path))
    assert done.returncode == 0, done.stderr
    assert "exit 4\n" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "Read-only file system" in line
    assert "INGEST_HOME" in line
    assert hashes(client, alias) == sorted(repository.hashes())


JUMPING = """
import itertools, sys, threading, time
import time_machine
years = [float(year) for year in sys.argv.pop(1).split(",")]

def jump():
    for year in itertools.cycle(years):
        with time_machine.travel((year - 1970) * 31_557_600):
            ended.wait(0.2)
        if ended.is_set():
            return

ended = threading.Event()
threading.Thread(target=jump, daemon=True).start()
from ingest.cli import main
try:
    main()
finally:
    ended.set()
"""


@pytest.mark.parametrize(
    "years",
    [
        pytest.param("2150,1971,2026.5", marks=pytest.mark.slow),
        pytest.param("1971", marks=pytest.mark.slow),
        pytest.param("2150", marks=pytest.mark.slow),
    ],
)
def test_a_clock_that_is_wrong_or_jumps_does_no_harm(
    years: str,
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    home: Path,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 500)
    origin = str(repository.path)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", JUMPING, years, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    for now in (run, ingest):
        for command in (["load", origin], ["verify"], ["reindex"], ["reindex"], ["load", origin], ["status"]):
            done = now(*command)
            assert (done.returncode, done.stderr) == (0, "")
        repository.commit("Meanwhile")
    assert ingest("load", origin).stdout.startswith("2 commits indexed, 0 rejected")
    assert_equal_to_perceval(client, alias, mirror.folder(home, Remote(origin)), origin)
