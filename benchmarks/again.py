"""``make bench-again REPO=…``: what comes after the first load: a run with nothing new, one with ten new commits, a
reindex; each beside what git or Elasticsearch take for their part of it alone.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import orjson
from elasticsearch.helpers import scan

from benchmarks import server
from benchmarks.measure import Cost
from benchmarks.server import INDEX, Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with server.running() as running:
        folder = running.home / "again"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        source, mirror, twin = (folder / name for name in ("source.git", "mirror.git", "twin.git"))
        for place in (source, twin):
            git("clone", "--quiet", "--bare", "--", arguments.repository if place == source else source, place)
        commits, merges = server.count_commits(source)
        print(f"{arguments.repository}: {commits:,} commits, {merges:,} merges\n{running.machine()}", flush=True)
        again(running, source, mirror, twin, arguments.rounds)
        shutil.rmtree(folder)


def again(running: Server, source: Path, mirror: Path, twin: Path, rounds: int) -> None:
    """Measure each in turn and print the medians."""
    load = ("ingest", "load", "--gitpath", str(mirror), "--", str(source))
    refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    fetch = ("git", f"--git-dir={twin}", "fetch", "--quiet", "--prune", "origin", *refs)
    running.clear()
    show("first load", first := running.measure(load, clear=False))
    pairs = [(running.measure(load, clear=False), running.run(fetch)) for _ in range(rounds)]
    beside("nothing new", "git fetch", pairs)
    pairs = []
    for _ in range(rounds):
        commit(source, 10)
        fetched = running.run(fetch)
        pairs.append((running.measure(load, clear=False), fetched))
    beside("ten new commits", "git fetch", pairs)
    ready = mirror.with_name("ready.jsonl")
    keep(running, ready)
    send = ("benchmarks.peers", "ready", running.url, f"{INDEX}-ready", str(ready))
    pairs = []
    for _ in range(rounds):
        reindex = running.measure(("ingest", "reindex", "--keep", "0"), clear=False)
        pairs.append((reindex, running.measure(send, clear=False)))
        running.client.indices.delete(index=f"{INDEX}-ready")
    beside("reindex", "ready documents", pairs)
    ratios = [first.wall / ours.wall for ours, _ in pairs]
    print(f"the first load takes {statistics.median(ratios):.1f} times as long as a reindex")


def show(what: str, cost: Cost) -> None:
    """Print a row."""
    print(f"{what:18} {cost.wall:8.2f} s wall, {cost.git + cost.python:8.2f} s client, {cost.server:7.2f} s server, "
          f"{cost.memory:5.0f} MB", flush=True)  # fmt: skip


def beside(what: str, other: str, pairs: list[tuple[Cost, Cost]]) -> None:
    """Print the rows of two ways and what lies between them."""
    for ours, theirs in pairs:
        show(what, ours)
        show(f"  {other}", theirs)
    more = [ours.wall - theirs.wall for ours, theirs in pairs]
    ratios = [ours.wall / theirs.wall for ours, theirs in pairs]
    print(f"{what}: {statistics.median(more):.2f} s ({min(more):.2f} to {max(more):.2f}) more than {other}, "
          f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})")  # fmt: skip


def keep(running: Server, file: Path) -> None:
    """Write down the documents of the index, as they are sent."""
    running.client.indices.refresh(index=INDEX)
    with file.open("wb") as lines:
        for hit in scan(running.client, index=INDEX, size=1000):
            lines.write(orjson.dumps(hit["_id"]) + b"\t" + orjson.dumps(hit["_source"]) + b"\n")


def commit(repository: Path, count: int) -> None:
    """Add commits, each with another file, to the branch that HEAD names."""
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    for _ in range(count):
        parent = git("rev-parse", "HEAD", at=repository)
        blob = git("hash-object", "-w", "--stdin", at=repository, given=os.urandom(16).hex())
        entries = f"{git('ls-tree', 'HEAD', at=repository)}\n100644 blob {blob}\t{blob}\n"
        tree = git("mktree", at=repository, given=entries)
        new = git("commit-tree", tree, "-p", parent, "-m", "New", at=repository, **who)
        git("update-ref", "HEAD", new, at=repository)


def git(*arguments: str | Path, at: Path | None = None, given: str = "", **variables: str) -> str:
    """Run git and give what it prints."""
    where = () if at is None else (f"--git-dir={at}",)
    command = ["git", *where, *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | variables, input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
