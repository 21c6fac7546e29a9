"""``make bench-search``: how long each form of search takes on a made-up history.

Every round draws words, names, folders and dates anew, so that few answers are remembered ones.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import history, server
from benchmarks.measure import Cost
from benchmarks.server import INDEX, Server
from ingest.search import groups, hints, show
from ingest.search.commits import MOST_RELEVANT_FIRST, NEWEST_FIRST, Commits
from ingest.search.query import Request, query

SHOWN = 20
"""Hits, as on a terminal."""
COMMANDS = 10
"""Runs of a whole command, at most."""

Draw = random.Random
Ask = Callable[[Commits, Request], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    with server.running() as running:
        print(running.machine(), flush=True)
        load(running, arguments.commits)
        compare(Commits(running.client, INDEX, 60), arguments.rounds)
        whole_commands(running, arguments.rounds)
        running.clear()


def load(running: Server, commits: int) -> None:
    """Index a history of so many commits, which does not exist before."""
    with tempfile.TemporaryDirectory(prefix="search-", dir=running.home) as folder:
        history.create(Path(folder, "made-up.git"), commits)
        running.load(str(Path(folder, "made-up.git")), Path(folder, "mirror.git"))
    documents = running.documents()
    if documents != commits:
        sys.exit(f"{documents:,} documents were indexed of {commits:,} commits.")
    print(f"{commits:,} commits", flush=True)


def compare(commits: Commits, rounds: int) -> None:
    """Measure each form, and print a row of the table for it."""
    print(f"{'form':<48} {'median ms':>9} {'95 % ms':>9}", flush=True)
    for name, request, ask in FORMS:
        source = random.Random(name)
        seconds = []
        for _ in range(rounds):
            drawn = request(source)
            started = time.monotonic()
            ask(commits, drawn)
            seconds.append(time.monotonic() - started)
        print(f"{name:<48} {statistics.median(seconds) * 1000:9.1f} {percentile(seconds) * 1000:9.1f}", flush=True)


def percentile(values: list[float]) -> float:
    """The 95th."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def whole_commands(running: Server, rounds: int) -> None:
    """Measure processes, whose start is most of what they take, and the export of all documents."""
    source = random.Random(1)
    command = ("ingest", "search", "--limit", str(SHOWN))
    walls = [running.measure((*command, word(source)), clear=False).wall for _ in range(min(COMMANDS, rounds))]
    print(f"ingest search WORD, the whole command: median {statistics.median(walls):.2f} s")
    row("ingest export, all documents", running.measure(["ingest", "export"], clear=False))


def row(name: str, cost: Cost) -> None:
    print(f"{name}: {cost.wall:.1f} s, {cost.memory:.0f} MB at the peak")


def word(source: Draw) -> str:
    """One that stands in some of the messages."""
    return source.choice(history.WORDS).decode()


def folder(source: Draw) -> str:
    return b"/".join(map(source.choice, history.FOLDERS)).decode()


def month(source: Draw) -> str:
    return f"{source.choice((2004, 2005))}-{source.randint(1, 12):02}"


def everything(source: Draw) -> Request:
    text, year = word(source), str(source.choice((2004, 2005)))
    return Request(
        text=text, authors=(word(source)[:3],), paths=(folder(source),), since=year, until=year, merges=False
    )


def first_relevant(commits: Commits, request: Request) -> object:
    return commits.first(query(request), MOST_RELEVANT_FIRST, SHOWN)


def newest(commits: Commits, request: Request) -> object:
    return commits.first(query(request), NEWEST_FIRST, SHOWN)


def count(commits: Commits, request: Request) -> object:
    return commits.count(query(request))


def by(kind: str) -> Ask:
    return lambda commits, request: groups.grouped(commits, query(request), kind, SHOWN)


def explained(commits: Commits, request: Request) -> object:
    return list(hints.hints(commits, request))


def shown(commits: Commits, request: Request) -> object:
    """Whatever commit is the first, shown by what its hash begins with."""
    (hit,) = commits.first(query(request), NEWEST_FIRST, 1).hits
    return show.text(show.find(commits, hit["_source"]["hash"][:12]), width=80)


FORMS: tuple[tuple[str, Callable[[Draw], Request], Ask], ...] = (
    ("a word", lambda draw: Request(text=word(draw)), first_relevant),
    ("two words", lambda draw: Request(text=f"{word(draw)} {word(draw)}"), first_relevant),
    ("a phrase", lambda draw: Request(text=f'"{word(draw)} {word(draw)}"'), first_relevant),
    ("a word, without another", lambda draw: Request(text=f"{word(draw)} -{word(draw)}"), first_relevant),
    ("the beginning of a word", lambda draw: Request(text=f"{word(draw)[:3]}*"), first_relevant),
    ("--author", lambda draw: Request(authors=(word(draw)[:4],)), newest),
    ("--email", lambda draw: Request(emails=(f"@{word(draw)}.example",)), newest),
    ("--path FOLDER", lambda draw: Request(paths=(folder(draw),)), newest),
    ("--path PATTERN", lambda draw: Request(paths=(f"*/{word(draw)}_*.c",)), newest),
    ("--since and --until", lambda draw: Request(since=month(draw), until=month(draw)), newest),
    ("--min-lines", lambda draw: Request(min_lines=draw.randint(1, 100)), newest),
    ("--no-merges, a word", lambda draw: Request(text=word(draw), merges=False), first_relevant),
    ("a word, --author, --path, a year, --no-merges", everything, first_relevant),
    ("the same, --count", everything, count),
    ("--path FOLDER --by author", lambda draw: Request(paths=(folder(draw),)), by("author")),
    ("a word, --by month", lambda draw: Request(text=word(draw)), by("month")),
    ("nothing found, and why", lambda draw: Request(text=f"un{word(draw)}", authors=(word(draw),)), explained),
    ("show HASH, after looking for it", lambda draw: Request(paths=(folder(draw),)), shown),
)


if __name__ == "__main__":
    main()
