"""``make bench-report``: how long `ingest report` takes for a made-up history, and how large its page is."""

import argparse
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks import history, server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=100_000)
    parser.add_argument("--repositories", type=int, default=1, help="over which they are spread evenly")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with server.running() as running, tempfile.TemporaryDirectory(prefix="report-", dir=running.home) as folder:
        print(f"{running.machine()}, elasticsearch-py {version('elasticsearch')}", flush=True)
        running.clear()
        for number in range(arguments.repositories):
            repository, mirror = Path(folder, f"{number}.git"), Path(folder, f"mirror-{number}.git")
            history.create(repository, arguments.commits // arguments.repositories)
            running.measure(("ingest", "load", "--gitpath", str(mirror), "--", str(repository)), clear=False)
        print(f"{running.documents():,} commits of {arguments.repositories} repositories are indexed", flush=True)
        page = Path(folder, "report.html")
        costs = []
        for number in range(1, arguments.rounds + 1):
            cost = running.measure(("ingest", "report", "--out", str(page)), clear=False)
            costs.append(cost)
            print(
                f"round {number}: {cost.wall:.2f} s, of processor time Python {cost.python:.2f} s and Elasticsearch "
                f"{cost.server:.2f} s, peak {cost.memory:.0f} MB",
                flush=True,
            )
        print(f"median {statistics.median(cost.wall for cost in costs):.2f} s, {page.stat().st_size / 1e6:.2f} MB")
        running.clear()


if __name__ == "__main__":
    main()
