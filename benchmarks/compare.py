"""``make bench REPO=…``: whole runs into the same server, alternating: one request per commit, Perceval plus
``streaming_bulk``, and this project. Each begins with a mirror that is up to date, of which no items are kept, and an
index that does not exist.
"""

import argparse
import os
import shutil
import statistics
import subprocess
from pathlib import Path

from benchmarks import server
from benchmarks.measure import Cost
from benchmarks.server import Server
from ingest.git.store import path_of

WAYS = {
    "chapter": "one es.index per commit",
    "bulk": "Perceval + streaming_bulk",
    "ingest": "ingest load",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--chunk-size", default="1000")
    arguments = parser.parse_args()
    with server.running() as running:
        compare(arguments, running)


def compare(arguments: argparse.Namespace, running: Server) -> None:
    """Run all ways in turn, several rounds, and print what they took."""
    repository = os.path.abspath(arguments.repository) if Path(arguments.repository).exists() else arguments.repository  # noqa: PTH100
    mirror = running.home / "mirror.git"
    shutil.rmtree(mirror, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--bare", "--", repository, str(mirror)], check=True)
    commits, merges = server.count_commits(mirror)
    print(f"{repository}: {commits:,} commits, {merges:,} merges\n{running.machine()}")
    print(f"{'':26} {'wall s':>8} {'client s':>8} {'server s':>8} {'peak MB':>8}", flush=True)
    costs: dict[str, list[Cost]] = {way: [] for way in arguments.ways}
    for _ in range(arguments.rounds):
        for way in arguments.ways:
            path_of(mirror).unlink(missing_ok=True)
            if way == "ingest":
                cost = running.load(repository, mirror, "--chunk-size", arguments.chunk_size)
            else:
                cost = running.measure(["benchmarks.peers", way, running.url, server.INDEX, repository, str(mirror)])
            costs[way].append(cost)
            print(line(way, cost), f"{running.documents():>9,} documents", flush=True)
    summarize(costs)


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
