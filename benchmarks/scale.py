"""``make bench-scale``: first loads of made-up histories of growing length. What a commit takes and how much memory our
processes hold must not grow with them.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import history, server
from benchmarks.measure import Cost
from benchmarks.server import Server

DISK = 4000
"""Bytes for a commit in the repository and the index, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000], metavar="COMMITS")
    sizes = sorted(set(parser.parse_args().sizes))
    if sizes[0] < 1:
        parser.error("a history has at least 1 commit")
    with server.running() as running:
        free = shutil.disk_usage(running.home).free
        if free < sizes[-1] * DISK:
            sys.exit(f"{sizes[-1]:,} commits need {sizes[-1] * DISK / 1e9:.0f} GB below {running.home}, "
                     f"which has {free / 1e9:.0f} GB: free some, or set INGEST_HOME to another folder.")  # fmt: skip
        print(running.machine())
        columns = ("commits", "merges", "MB", "wall s", "wall us", "git s", "python s", "server s", "peak MB")
        print(" ".join(f"{column:>9}" for column in columns), flush=True)
        compare({commits: measure(running, commits) for commits in sizes})


def measure(running: Server, commits: int) -> Cost:
    """Load a history of so many commits, its clone included, and print a row of the table.

    Exits when the index does not hold as many.
    """
    with tempfile.TemporaryDirectory(prefix="scale-", dir=running.home) as folder:
        repository = Path(folder, "repository.git")
        history.create(repository, commits)
        merges = server.count_commits(repository)[1]
        megabytes = sum(path.stat().st_size for path in repository.rglob("*")) / 1e6
        cost = running.load(str(repository), Path(folder, "mirror.git"))
    documents = running.documents()
    running.clear()
    if documents != commits:
        sys.exit(f"{documents:,} documents were indexed of {commits:,} commits.")
    figures = (cost.wall, cost.wall / commits * 1e6, cost.git, cost.python, cost.server, cost.memory)
    print(f"{commits:9,} {merges:9,} {megabytes:9.1f} " + " ".join(f"{figure:9.1f}" for figure in figures), flush=True)
    return cost


def compare(costs: dict[int, Cost]) -> None:
    """Print each size's time per commit and memory beside those of the smallest size but one.

    The smallest of all shows what a run takes before its first commit rather than what a commit takes.
    """
    base = sorted(costs)[:2][-1]
    for commits, cost in costs.items():
        if commits != base:
            time = cost.wall / commits / (costs[base].wall / base)
            memory = cost.memory / costs[base].memory
            print(f"{commits:,} against {base:,} commits: {time:.2f} times the time per commit, "
                  f"{memory:.2f} times the peak memory")  # fmt: skip


if __name__ == "__main__":
    main()
