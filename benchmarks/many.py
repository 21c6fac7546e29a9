"""``make bench-many``: lists of made-up repositories, loaded one and several at a time, and again with nothing new."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks import history, server
from benchmarks.measure import Cost
from benchmarks.server import Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lists", nargs="+", default=["1000x30", "20x3000"], metavar="REPOSITORIESxCOMMITS")
    parser.add_argument("--jobs", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    with server.running() as running:
        print(running.machine())
        columns = ("wall s", "per repo", "git s", "python s", "server s", "peak MB")
        print(f"{'':34}" + " ".join(f"{column:>9}" for column in columns), flush=True)
        for text in arguments.lists:
            repositories, _, commits = text.partition("x")
            compare(running, int(repositories), int(commits), arguments.jobs)


def compare(running: Server, repositories: int, commits: int, jobs: list[int]) -> None:
    """Load a list with each number of jobs, and print what each took."""
    with tempfile.TemporaryDirectory(prefix="many-", dir=running.home) as folder:
        listed = create(Path(folder), repositories, commits)
        name = f"{repositories:,} x {commits:,} commits"
        costs = {each: measure(running, listed, repositories, each, name) for each in jobs}
    if running.documents() != repositories * commits:
        raise AssertionError("the index does not hold all commits")
    running.clear()
    for each, (first, again) in costs.items():
        faster = costs[jobs[0]][0].wall / first.wall
        print(f"{name}, {each} at a time: {faster:.2f} times as fast as {jobs[0]} at a time; "
              f"again takes {again.wall / first.wall:.1%} of the first")  # fmt: skip


def create(folder: Path, repositories: int, commits: int) -> Path:
    """Make repositories, and the list of them."""
    first = folder / "0.git"
    history.create(first, commits)
    for number in range(1, repositories):
        shutil.copytree(first, folder / f"{number}.git", copy_function=os.link)
    listed = folder / "list"
    listed.write_text("".join(f"{folder / str(number)}.git\n" for number in range(repositories)))
    return listed


def measure(running: Server, listed: Path, repositories: int, jobs: int, name: str) -> tuple[Cost, Cost]:
    """The first load, clones included, and another with nothing new."""
    shutil.rmtree(running.home / "mirrors", ignore_errors=True)
    command = ("ingest", "load", "--repos", str(listed), "--jobs", str(jobs))
    costs = running.measure(command), running.measure(command, clear=False)
    for what, cost in zip(("first", "again"), costs, strict=True):
        figures = (cost.wall, cost.wall / repositories, cost.git, cost.python, cost.server, cost.memory)
        print(
            f"{name + f', {jobs} at a time, {what}':34}" + " ".join(f"{figure:9.3f}" for figure in figures), flush=True
        )
    return costs


if __name__ == "__main__":
    main()
