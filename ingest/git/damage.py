"""Which commits' diffs cannot be read in a repository that lacks objects, without trying them one by one."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from ingest.git.command import GitFailedError, run
from ingest.git.log import CHANGES, TREES, log

# Lists those of the given objects that are there, and what hangs on them; fetches nothing.
_PRESENT: Final = ("rev-list", "--no-walk", "--objects", "--ignore-missing", "--missing=allow-any", "--stdin")
# The modes of what a diff does not read: nothing at all, and a submodule.
_NO_FILE: Final = frozenset({"000000", "160000"})


def unreadable_diffs(mirror: Path, hashes: Collection[str]) -> dict[str, str]:
    """Those of these commits whose diff certainly cannot be read, and why.

    Others may be unreadable too: looked for are missing root trees, and missing files that a diff must read.
    Takes a handful of git processes, however many commits there are.
    """
    problems = _without_trees(mirror, hashes)
    needed = {
        commit: _needed(lines)
        for commit, lines in _changes(mirror, [commit for commit in hashes if commit not in problems])
    }
    missing = _missing(mirror, set().union(*needed.values()))
    for commit, objects in needed.items():
        if not missing.isdisjoint(objects):
            problems[commit] = _problem(objects & missing)
    return problems


def _without_trees(mirror: Path, hashes: Iterable[str]) -> dict[str, str]:
    """The problems of the commits whose root tree, or a parent's, is needed and missing."""
    rows = [line.split() for line in _until_failure(log(mirror, TREES, hashes))]
    all_parents = {parent for _, _, *parents in rows for parent in parents}
    tree_of = {row[0]: row[1] for row in map(str.split, _until_failure(log(mirror, TREES, all_parents)))}
    needed: dict[str, set[str]] = {}
    for commit, tree, *parents in rows:
        trees = {tree, *(tree_of[parent] for parent in parents if parent in tree_of)}
        if len(trees) > 1 or not parents:
            needed[commit] = trees
    missing = _missing(mirror, set().union(*needed.values()))
    return {commit: _problem(trees & missing) for commit, trees in needed.items() if trees & missing}


def _changes(mirror: Path, hashes: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Each commit with its ``:`` lines, as far as git gets."""
    commit, lines = "", list[str]()
    if not hashes:
        return
    for line in _until_failure(log(mirror, CHANGES, hashes)):
        if line.startswith("commit "):
            if commit:
                yield commit, lines
            commit, lines = line[len("commit ") : -1], []
        elif line.startswith(":"):
            lines.append(line)


def _needed(lines: Iterable[str]) -> set[str]:
    """The files that git must read to count the lines of these changes.

    It reads none that stays the same, nor, where a file vanishes and another appears with the same content,
    those two.
    """
    before: set[str] = set()
    after: set[str] = set()
    needed: set[str] = set()
    for line in lines:
        old_mode, new_mode, old, new, _ = line[1:].split(maxsplit=4)
        olds = {old} if old_mode not in _NO_FILE else set()
        news = {new} if new_mode not in _NO_FILE else set()
        before |= olds
        after |= news
        if olds and news:
            needed |= olds ^ news
        else:
            needed |= olds | news
    return needed - (before & after)


def _missing(mirror: Path, objects: set[str]) -> set[str]:
    if not objects:
        return set()
    try:
        with closing(run(mirror, _PRESENT, objects)) as lines:
            return objects.difference(line.rstrip("\n").split(" ", 1)[0] for line in lines)
    except GitFailedError:
        # A damaged object ends git here: nothing is certain then.
        return set()


def _until_failure(lines: Iterable[str]) -> Iterator[str]:
    with suppress(GitFailedError):
        yield from lines


def _problem(missing: set[str]) -> str:
    return f"unreadable diff: object {min(missing)} is missing"
