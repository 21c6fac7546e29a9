"""``make bench REPO=…``: whole runs into the same server, alternating: one request per commit, Perceval plus
``streaming_bulk``, and this project. Each begins with a mirror that is up to date and an index that does not exist.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from elasticsearch import Elasticsearch

from benchmarks.measure import Cost, run
from ingest.node import Node

WAYS = {
    "chapter": "one es.index per commit",
    "bulk": "Perceval + streaming_bulk",
    "ingest": "ingest load",
}
INDEX = "bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--chunk-size", default="1000")
    arguments = parser.parse_args()
    home = Path(os.environ.get("INGEST_HOME") or tempfile.gettempdir()) / "ingest-bench"
    node = Node(home, say=print)
    info = node.start()
    try:
        compare(arguments, info.url, psutil.Process(info.pid), home)
    finally:
        node.stop()


def compare(arguments: argparse.Namespace, url: str, server: psutil.Process, home: Path) -> None:
    """Run all ways in turn, several rounds, and print what they took."""
    repository = os.path.abspath(arguments.repository) if Path(arguments.repository).exists() else arguments.repository  # noqa: PTH100
    mirror = home / "mirror.git"
    subprocess.run(["rm", "-rf", str(mirror)], check=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", "--", repository, str(mirror)], check=True)
    describe(mirror, repository, url)
    costs: dict[str, list[Cost]] = {way: [] for way in arguments.ways}
    with Elasticsearch(url, request_timeout=60) as client:
        for _ in range(arguments.rounds):
            for way in arguments.ways:
                for index in client.indices.get(index=f"{INDEX}*"):
                    client.indices.delete(index=index)
                command = [sys.executable, "-m", "benchmarks.peers", way, url, INDEX, repository, str(mirror)]
                if way == "ingest":
                    command = [sys.executable, "-m", "ingest", "load", "--gitpath", str(mirror), repository]
                    command += ["--chunk-size", arguments.chunk_size]
                environment = os.environ | {"ES_URL": url, "INGEST_HOME": str(home), "INGEST_INDEX": INDEX}
                costs[way].append(run(command, server, environment))
                client.indices.refresh(index=INDEX)
                print(line(way, costs[way][-1]), f"{client.count(index=INDEX)['count']:>9,} documents", flush=True)
    summarize(costs)


def describe(mirror: Path, repository: str, url: str) -> None:
    """Print what is measured, and on what."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", f"--git-dir={mirror}", *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    commits = int(git("rev-list", "--count", "--branches", "--tags"))
    merges = int(git("rev-list", "--count", "--branches", "--tags", "--merges"))
    print(f"{repository}: {commits:,} commits, {merges:,} merges")
    memory = psutil.virtual_memory().total / 1e9
    print(f"{git('--version')}, Python {platform.python_version()}, {os.cpu_count()} cores, {memory:.0f} GB, {url}")
    print(f"{'':26} {'wall s':>8} {'client s':>8} {'server s':>8} {'peak MB':>8}", flush=True)


def line(way: str, cost: Cost) -> str:
    """A row of the table."""
    figures = (cost.wall, cost.git + cost.python, cost.server, cost.memory)
    return f"{WAYS[way]:26} " + " ".join(f"{figure:8.1f}" for figure in figures)


def summarize(costs: dict[str, list[Cost]]) -> None:
    """Print the ratios, pair by pair, and how far we are from what git and the cores allow."""
    ours = costs.get("ingest")
    if not ours:
        return
    for way, others in costs.items():
        if way != "ingest":
            ratios = [other.wall / our.wall for other, our in zip(others, ours, strict=True)]
            print(f"{WAYS[way]}: {spread(ratios)} times as long as ingest")
    cores = len(os.sched_getaffinity(0))
    bounds = {
        "git's": [each.git for each in ours],
        "git's, Python's and Elasticsearch's": [each.processor for each in ours],
    }
    for whose, seconds in bounds.items():
        ratios = [our.wall / (bound / cores) for our, bound in zip(ours, seconds, strict=True)]
        print(f"ingest: {spread(ratios)} times {whose} processor time divided by {cores} cores")


def spread(values: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
