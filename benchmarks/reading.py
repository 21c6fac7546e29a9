"""``make bench-reading REPO=…``: reading alone, without Elasticsearch: what keeping items costs, and what it saves.

Three ways in turn, each with all commits made into documents: without a store, with an empty one, and with the one that
the way before has filled.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks import server
from benchmarks.compare import spread
from ingest.git import command
from ingest.git.decorations import decorations
from ingest.git.grounds import opened
from ingest.git.reader import Source, read
from ingest.git.store import path_of, size_of
from ingest.index.conversion import Action, action

WAYS: Final[Mapping[str, str]] = {"off": "no items kept", "first": "items kept", "again": "kept items taken"}
LIMIT: Final = 64 << 30


class Cost(NamedTuple):
    """Seconds of wall time, of processor time of all processes together, and of that the reader's own."""

    wall: float
    processor: float
    own: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reading-", dir=os.environ.get("INGEST_HOME")) as folder:
        mirror = Path(folder, "mirror.git")
        subprocess.run(["git", "clone", "--quiet", "--bare", "--", arguments.repository, str(mirror)], check=True)
        commits, merges = server.count_commits(mirror)
        print(f"{arguments.repository}: {commits:,} commits, {merges:,} merges, {arguments.workers} workers")
        compare(mirror, arguments.rounds, arguments.workers)


def compare(mirror: Path, rounds: int, workers: int) -> None:
    """Run all ways in turn, several rounds, and print what they took."""
    print(f"{'':18} {'wall s':>8} {'cpu s':>8} {'own s':>8}", flush=True)
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for number in range(rounds):
        # What comes first finds colder caches, so it is not always the same.
        for way in ("off", "first", "again") if number % 2 else ("first", "again", "off"):
            if way == "first":
                path_of(mirror).unlink(missing_ok=True)
            cost = measure(mirror, workers, kept=way != "off")
            costs[way].append(cost)
            print(f"{WAYS[way]:18} " + " ".join(f"{figure:8.2f}" for figure in cost), flush=True)
    print(f"kept items take {size_of(mirror) / 1e6:.1f} MB")
    for way in ("first", "again"):
        for figure in ("wall", "processor"):
            pairs = zip(costs[way], costs["off"], strict=True)
            ratios = [getattr(ours, figure) / getattr(other, figure) for ours, other in pairs]
            print(f"{WAYS[way]}: {spread(ratios)} times the {figure} time without")


def measure(mirror: Path, workers: int, *, kept: bool) -> Cost:
    """Read all commits once."""
    before = list(seconds())
    started = time.monotonic()
    with ExitStack() as stack:
        store = stack.enter_context(opened(mirror, LIMIT)) if kept else None
        refs = decorations(mirror) if kept else {}
        source, render = Source(mirror, "https://example.org/project.git"), partial(action, project=None)
        arguments = ("rev-list", "--reverse", "--topo-order", "--branches", "--tags")
        hashes = list(command.lines(mirror, arguments))
        results = read(source, hashes, render, workers=workers, store=store, decorations=refs)
        assert sum(isinstance(result, Action) for result in results) == len(hashes)
    wall = time.monotonic() - started
    own, children = (now - then for now, then in zip(seconds(), before, strict=True))
    return Cost(wall, own + children, own)


def seconds() -> Iterator[float]:
    """Processor time so far: of this process, and of those that it has seen to their end."""
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        yield usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
