"""``make bench-equality REPO=…``: whether the items of a whole repository are Perceval's own, all keys but the time of
fetching. Perceval's git log of a repository with many merges takes long.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from perceval.backends.core import git as perceval

from benchmarks.again import git
from benchmarks.server import count_commits
from ingest.git import reader
from ingest.git.history import History, Selection, tips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    repository = parser.parse_args().repository
    with tempfile.TemporaryDirectory(prefix="ingest-equality-") as folder:
        mirror = Path(folder, "mirror.git")
        git("clone", "--quiet", "--bare", "--", repository, mirror)
        commits, merges = count_commits(mirror)
        print(f"{repository}: {commits:,} commits, {merges:,} merges", flush=True)
        history = History(mirror, Selection(), tips(mirror, ()))
        workers = len(os.sched_getaffinity(0))
        ours = digests(reader.read(reader.Source(mirror, repository), history, taken, workers=workers))
        theirs = digests(map(taken, perceval.Git(repository, str(mirror)).fetch(no_update=True)))
    different = sorted(commit for commit in ours.keys() | theirs.keys() if ours.get(commit) != theirs.get(commit))
    print(f"{len(ours):,} of our items, {len(theirs):,} of Perceval's, {len(different):,} different")
    print("".join(f"{commit}\n" for commit in different[:20]), end="")
    sys.exit(1 if different else 0)


def taken(item: dict[str, Any], problem: str | None = None) -> tuple[str, bytes]:
    """A commit's hash, and a digest of its item; of a problem, were there one, too."""
    whole = json.dumps([item | {"timestamp": None}, problem], sort_keys=True)
    return item["data"]["commit"], blake2b(whole.encode(), digest_size=16).digest()


def digests(results: Iterable[tuple[str, bytes] | reader.Unreadable]) -> dict[str, bytes]:
    """The digests by hash; commits that cannot be read have none."""
    return dict(result for result in results if not isinstance(result, reader.Unreadable))


if __name__ == "__main__":
    # Workers must find what they are given under the name that it has for them, too.
    from benchmarks import equality  # noqa: PLW0406

    equality.main()
