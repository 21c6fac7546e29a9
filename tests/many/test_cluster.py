"""Many repositories on the workers of a local Dask cluster."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import elasticsearch
import psutil
import pytest

from tests.conftest import Run
from tests.documents import counted, documents
from tests.many.test_many import Some, processes_of, states
from tests.node.conftest import wait_for
from tests.test_errors import one_line

pytestmark = pytest.mark.slow


class Dask:
    """A scheduler and workers, each with a home of its own, as on a machine of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], started: ExitStack) -> None:
        self.homes = [folder / "home-0", folder / "home-1"]
        self._folder = folder
        self._environment = {name: value for name, value in environment.items() if name != "INGEST_INDEX"}
        self._environment["DASK_TEMPORARY_DIRECTORY"] = str(folder)
        self._started = started
        file = folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-show", "--scheduler-file", str(file))
        wait_for(lambda: file.exists() and file.read_text().strip() != "")
        self.address = str(json.loads(file.read_text())["address"])
        self.workers = [self.worker(home) for home in self.homes]

    def worker(self, home: Path) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--nthreads", "1", "--no-dashboard", INGEST_HOME=str(home))

    def _start(self, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        log = self._started.enter_context((self._folder / f"{command[0]}.log").open("ab"))
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dask"), *command],
            cwd=self._folder,
            env=self._environment | variables,
            stdout=log,
            stderr=log,
        )
        self._started.callback(kill, process)
        return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, as a machine that is switched off does."""
    if process.poll() is None:
        for each in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
            each.kill()
    process.wait(30)


@pytest.fixture
def dask(tmp_path: Path, environment: dict[str, str]) -> Iterator[Dask]:
    folder = tmp_path / "dask"
    folder.mkdir()
    with ExitStack() as started:
        yield Dask(folder, environment, started)


def without_time(client: elasticsearch.Elasticsearch, alias: str) -> dict[str, dict[str, Any]]:
    """The documents of an index, without when they were made."""
    return {
        identifier: {name: value for name, value in document.items() if name not in {"ingested_at", "updated_on"}}
        for identifier, document in documents(client, alias).items()
    }


def test_the_index_is_that_of_a_plain_load_although_a_worker_is_killed(
    dask: Dask,
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    some = Some(tmp_path / "some", [3000, 3000, 3, 40, 7, 1, 20])
    some.write([*(f"{origin} label" for origin in some.origins), str(tmp_path / "missing")])
    load = ("load", "--repos", some.list, "--chunk-size", "20")
    command = [sys.executable, "-m", "ingest", *map(str, load), "--scheduler", dask.address]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: counted(client, alias) > 100)
        assert all(map(processes_of, dask.homes))
        kill(dask.workers[0])
        said, complaint = process.communicate(timeout=240)
    assert process.returncode == 4, complaint
    assert said.startswith("8 repositories: 7 loaded, 0 unchanged, 1 failed\n  exit 4  "), said
    assert "Traceback" not in complaint
    wait_for(lambda: not processes_of(dask.homes[0]))
    other = {"INGEST_INDEX": f"{alias}-plain", "INGEST_HOME": str(tmp_path / "plain")}
    assert ingest(*load, **other).returncode == 4
    assert without_time(client, alias) == without_time(client, f"{alias}-plain")
    again = ingest(*load, "--scheduler", dask.address)
    assert again.stdout.startswith("8 repositories: 0 loaded, 7 unchanged, 1 failed"), again.stdout + again.stderr


def test_a_run_that_is_stopped_stops_the_workers_processes(
    dask: Dask, tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    some = Some(tmp_path / "some", [6000, 6000, 6000])
    command = [sys.executable, "-m", "ingest", "load", "--repos", str(some.list), "--chunk-size", "10"]
    with subprocess.Popen(
        [*command, "--scheduler", dask.address], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: counted(client, alias) > 0)
        process.terminate()
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 143
    assert complaint == "ingest: Stopped by SIGTERM. It is safe to run again.\n"
    runners = [each for home in dask.homes for each in processes_of(home)]
    wait_for(lambda: not any("ingest" in " ".join(each.cmdline()) for each in runners if each.is_running()))
    assert "interrupted" in {state["last_attempt"]["outcome"] for state in states(client, alias).values()}


def test_what_cannot_be_handed_to_workers_is_refused(tmp_path: Path, ingest: Run) -> None:
    away = "tcp://127.0.0.1:1"
    line = one_line(ingest("load", "https://user:hunter2@h/x", "--scheduler", away), 2, "holds credentials")
    assert "hunter2" not in line
    one_line(ingest("load", "--gitpath", tmp_path, "--scheduler", away, tmp_path), 2, "--gitpath")
