"""The server that runs are measured against: the embedded node, in a folder of its own."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from elasticsearch import Elasticsearch

from benchmarks.measure import Cost, run
from ingest.node import Node

INDEX = "bench"


@dataclass(frozen=True)
class Server:
    """A running server.

    :ivar home: what runs have for INGEST_HOME
    """

    home: Path
    url: str
    process: psutil.Process
    client: Elasticsearch

    def load(self, repository: str, mirror: Path, *options: str) -> Cost:
        """Measure `ingest load` of a repository, through this mirror, into an index that does not exist.

        :raises subprocess.CalledProcessError: it failed
        """
        return self.measure(["ingest", "load", "--gitpath", str(mirror), *options, "--", repository])

    def measure(self, module: Sequence[str], *, clear: bool = True) -> Cost:
        """Measure a Python module with its arguments.

        :param clear: let INDEX not exist then
        :raises subprocess.CalledProcessError: it failed
        """
        if clear:
            self.clear()
        return self.run([sys.executable, "-m", *module])

    def run(self, command: Sequence[str]) -> Cost:
        """Measure a command.

        :raises subprocess.CalledProcessError: it failed
        """
        environment = os.environ | {"ES_URL": self.url, "INGEST_HOME": str(self.home), "INGEST_INDEX": INDEX}
        return run(command, self.process, environment)

    def clear(self) -> None:
        """Delete what runs have indexed."""
        for index in self.client.indices.get(index=f"{INDEX}*", expand_wildcards="all"):
            self.client.indices.delete(index=index)

    def documents(self) -> int:
        """How many documents INDEX holds."""
        self.client.indices.refresh(index=INDEX)
        return int(self.client.count(index=INDEX)["count"])

    def machine(self) -> str:
        """What the figures depend on besides this project."""
        git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        memory = psutil.virtual_memory().total / 1e9
        cores = os.cpu_count()
        return f"{git}, Python {platform.python_version()}, {cores} cores, {memory:.0f} GB, {self.url}"


@contextmanager
def running() -> Iterator[Server]:
    """Run the server for as long as the context lasts."""
    home = Path(os.environ.get("INGEST_HOME") or tempfile.gettempdir()) / "ingest-bench"
    node = Node(home, say=print)
    info = node.start()
    try:
        with Elasticsearch(info.url, request_timeout=60) as client:
            yield Server(home, info.url, psutil.Process(info.pid), client)
    finally:
        node.stop()


def count_commits(git_dir: Path) -> tuple[int, int]:
    """Commits that the branches and tags of a repository reach, and how many of them are merges."""

    def count(*options: str) -> int:
        command = ["git", f"--git-dir={git_dir}", "rev-list", "--count", "--branches", "--tags", *options]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return count(), count("--merges")
