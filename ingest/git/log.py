"""The text that Perceval parses, for chosen commits, in a fraction of the time git takes to write it.

Perceval runs ``git log --raw --numstat -M -C -c``. Nearly all of its time goes into merges, for which ``-c``
looks for renames against every parent, however far away. The same text is put together from three cheaper
ones:

1. Each commit against its first parent only. Git computes a merge's ``--numstat`` against the first parent in
   ``-c`` mode too, so these lines are already right; a merge's ``:`` lines are dropped.
2. A merge's ``::`` lines, from ``-c --no-renames``. Looking for renames pairs added paths with deleted or
   modified ones, and changes nothing but the added and the deleted: so a line in which every parent and the
   result have the path (``M`` for each parent) stays what it is, and no line is ever added. Type changes are
   the exception: without renames git takes another way through the trees, which calls them ``M``, not ``T``.
3. For the few merges that have any other line, what `ingest.git.merges` makes of it, or Perceval's own command.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from perceval.backends.core.git import GitRepository

from ingest.git import command, dates
from ingest.git.command import Lines

CHOSEN: Final = ("--no-walk=unsorted", "--no-notes", "--no-show-signature", "--ignore-missing", "--stdin")
"""Those commits only that are named on standard input, in that order."""
_PERCEVAL: Final = tuple(GitRepository.GIT_PRETTY_OUTPUT_OPTS)
_DIFF: Final = frozenset({"--raw", "--numstat", "-M", "-C", "-c"})

WHOLE: Final = (*CHOSEN, *_PERCEVAL)
"""Perceval's own options."""
# Spelt so that git before 2.31, which has no --diff-merges=first-parent, takes it.
FIRST_PARENT: Final = (*CHOSEN, *(option for option in _PERCEVAL if option != "-c"), "-m", "--first-parent")
"""Each commit against its first parent only."""
WITHOUT_DIFF: Final = (*CHOSEN, *(option for option in _PERCEVAL if option not in _DIFF), "--no-patch")
"""Each commit's header and message only."""
NAMES: Final = (*CHOSEN, "--no-patch", "--format=%H")
RAW_DATES: Final = ("--date=raw",)
BAD_TIMESTAMP: Final = ("Timestamp before Unix epoch", "Timestamp too large for this system")
"""What git dies of where a date in its own zone lies before 1970, unless dates are raw."""
TREES: Final = (*CHOSEN, "--no-mailmap", "--no-patch", "--format=%H %T %P")
CHANGES: Final = (
    *CHOSEN,
    "--no-mailmap",
    "-m",
    "--first-parent",
    "--raw",
    "--no-renames",
    "--no-abbrev",
    "--format=commit %H",
)
"""Each commit's ``:`` lines against its first parent, which take no file's content."""
_COMBINED: Final = (*CHOSEN, "--no-mailmap", "--merges", "--raw", "-c", "--no-renames", "--format=commit %H %P")


class Merges(NamedTuple):
    """The merges among some commits.

    ``lines``: the ``::`` lines of each (most have none), without rename detection.
    ``parents``: of each.
    ``unsettled``: those in whose lines rename detection has a say.
    """

    lines: dict[str, list[str]]
    parents: dict[str, list[str]]
    unsettled: set[str]


def log(mirror: Path, options: Sequence[str], hashes: Iterable[str]) -> Lines:
    """The lines that ``git log`` writes with these options for these commits, in their order.

    A hash whose commit does not exist is passed over; where none does, git shows ``HEAD`` instead. Git is
    gone when the generator is closed.

    :raises GitFailedError: after the last line, when git did not end well
    :raises RepositoryRefusedError: when git cannot be started there
    """
    return command.run(mirror, ("log", *options), hashes)


def combined(mirror: Path, hashes: Iterable[str]) -> Merges:
    """The ``::`` lines of the merges among these commits.

    :raises GitFailedError: when git did not end well
    """
    merges = Merges({}, {}, set())
    commit = ""
    for line in log(mirror, _COMBINED, hashes):
        if line.startswith("commit "):
            commit, *merges.parents[commit] = line[len("commit ") : -1].split(" ")
            merges.lines[commit] = []
        elif line.startswith(":"):
            if not _settled(line):
                merges.unsettled.add(commit)
            merges.lines[commit].append(line)
    return merges


def spliced(first_parent: Iterable[str], merges: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Perceval's own text out of the first parents' and the merges' ``::`` lines.

    :param first_parent: lines of a log with the options ``FIRST_PARENT``
    :param merges: of each merge in it, its ``::`` lines
    """
    merge: Sequence[str] | None = None
    counted = False
    for line in first_parent:
        if line.startswith("commit "):
            commit = line[len("commit ") : -1].split(" ", 1)[0]
            merge, counted = merges.get(commit), False
        elif merge is not None:
            if line.startswith(":"):
                continue
            if counted and line == "\n":
                yield from merge
                merge = None
            else:
                counted = line[0] in "0123456789-"
        yield line
    if merge is not None and counted:
        yield from merge


def with_git_dates(lines: Iterable[str]) -> Iterator[str]:
    """A log with raw dates (seconds and zone), with dates in git's default format instead."""
    for line in lines:
        name, _, date = line.partition(": ")
        if name in ("AuthorDate", "CommitDate"):
            seconds, zone = date.split()
            # A date that cannot be told otherwise stays raw.
            with suppress(OverflowError):
                line = f"{name}: {dates.from_raw(int(seconds), zone)}\n"  # noqa: PLW2901
        yield line


def _settled(line: str) -> bool:
    """Whether looking for renames cannot change a ``::`` line: all have the path, with the same type."""
    *modes_and_hashes, letters = line[: line.index("\t")].lstrip(":").split(" ")
    parents = len(letters)
    types = {mode[:2] for mode in modes_and_hashes[: parents + 1]}
    return letters == "M" * parents and len(types) == 1
