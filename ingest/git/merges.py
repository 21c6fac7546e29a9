"""The lines of merges in which rename detection has a say, without detecting every rename.

For ``-c``, git looks for renames against each parent: every added file is compared with every deleted and, for copies,
every modified one. Of far-away parents that is hundreds of times thousands of files, while the merge shows the few that
differ from all parents. What git finds for those few can be had from two smaller searches, because (see git's
``diffcore-rename.c``)

- a file that stays is the source of copies only, of any number of them: whoever else copies it makes no difference;
- a deleted file is renamed to the first that takes it, in the order of similarity: there others do make a difference,
  but only others that are similar to it.

So first, only the wanted files are compared with all sources. Then, only the deleted files that these have taken are
compared with all other added files: where none of those is similar, nobody else could have taken them. Where one is, or
where git's limit on renames may be reached, git's own command has the word.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from ingest.git import command
from ingest.git.command import GitFailedError

# Above so many pathspecs it is cheaper to name what is left out.
_MANY: Final = 200


class Unsettled(Exception):  # noqa: N818 - it is no error, only a way out
    """Git's own command is needed."""


class _Parent(NamedTuple):
    """What differs between a parent and the merge, without looking for renames: the paths, by git's letter."""

    commit: str
    added: frozenset[bytes]
    deleted: frozenset[bytes]
    modified: frozenset[bytes]


class _Source(NamedTuple):
    """Where an added file comes from: git's letter (``R`` or ``C``), and the source's path, mode and hash."""

    letter: str
    path: bytes
    mode: str
    hash: str


def rename_limit(mirror: Path) -> int:
    """How many files on each side git compares at most: 1,000, or 400 before version 2.34.

    :raises GitFailedError: git does not tell its version
    """
    words = "".join(command.run(mirror, ["version"]))
    version = re.search(r"(\d+)\.(\d+)", words)
    return 1000 if version and (int(version[1]), int(version[2])) >= (2, 34) else 400


def settled(mirror: Path, merge: str, parents: Sequence[str], lines: Sequence[str], limit: int) -> list[str]:
    """The ``::`` lines of a merge, as ``-c -M -C`` has them.

    :param lines: those of ``-c --no-renames``
    :param limit: what `rename_limit` gives
    :raises Unsettled: they cannot be told without git's own command
    :raises GitFailedError: git failed
    """
    if not all(map(_plain, lines)):
        raise Unsettled
    results = list(lines)
    for position, commit in enumerate(parents):
        wanted = {os.fsencode(_path(line)): _letters(line)[position] for line in lines}
        wanted = {path: letter for path, letter in wanted.items() if letter != "M"}
        if wanted:
            sources = _sources(mirror, _differences(mirror, commit, merge), merge, wanted, limit)
            results = [_with_source(line, position, sources.get(os.fsencode(_path(line)))) for line in results]
    return results


def _plain(line: str) -> bool:
    """Whether a line is of added, modified and deleted files of one type, with a name that git does not quote."""
    *modes_and_hashes, letters = line.partition("\t")[0].lstrip(":").split(" ")
    *modes, result = modes_and_hashes[: len(letters) + 1]
    kept = {mode[:2] for mode, letter in zip(modes, letters, strict=True) if letter == "M"}
    return set(letters) <= set("AMD") and kept <= {result[:2]} and '\t"' not in line


def _letters(line: str) -> str:
    return line.partition("\t")[0].rpartition(" ")[2]


def _path(line: str) -> str:
    return line.partition("\t")[2].rstrip("\n")


def _with_source(line: str, position: int, source: _Source | None) -> str:
    """A ``::`` line whose file comes from `source` as far as one parent is concerned."""
    if source is None:
        return line
    meta, tab, path = line.partition("\t")
    words = meta.split(" ")
    letters = words[-1]
    colons = ":" * len(letters)
    words[0] = words[0].removeprefix(colons)
    words[position] = source.mode
    words[len(letters) + 1 + position] = source.hash
    words[-1] = letters[:position] + source.letter + letters[position + 1 :]
    return f"{colons}{' '.join(words)}{tab}{path}"


def _sources(
    mirror: Path, parent: _Parent, merge: str, wanted: Mapping[bytes, str], limit: int
) -> dict[bytes, _Source]:
    """Where the wanted added files come from, for those that git finds a source for.

    :raises Unsettled: others may have a say, or a wanted deleted file may have been renamed
    """
    if len(parent.added) * (len(parent.deleted) + len(parent.modified)) > limit * limit:
        raise Unsettled
    new = {path for path, letter in wanted.items() if letter == "A"}
    found = _detect(mirror, parent, merge, new, parent.deleted | parent.modified) if new else {}
    taken = {source.path for source in found.values()} & parent.deleted
    doubtful = taken | {path for path, letter in wanted.items() if letter == "D"}
    if doubtful and parent.added - new:
        rivals = _detect(mirror, parent, merge, parent.added, doubtful)
        if not rivals.keys() <= found.keys() or not taken >= {rival.path for rival in rivals.values()}:
            raise Unsettled
    if taken & wanted.keys():
        raise Unsettled
    return found


def _differences(mirror: Path, parent: str, merge: str) -> _Parent:
    paths: dict[str, set[bytes]] = {letter: set() for letter in "ADMT"}
    words = _diff_tree(mirror, parent, merge, ["--no-renames"], [])
    for meta, path in zip(words[0::2], words[1::2], strict=True):
        paths[meta[-1:].decode()].add(path)
    if paths["T"]:
        raise Unsettled
    return _Parent(parent, *(frozenset(paths[letter]) for letter in "ADM"))


def _detect(
    mirror: Path, parent: _Parent, merge: str, new: Iterable[bytes], sources: Iterable[bytes]
) -> dict[bytes, _Source]:
    """The renames and copies that git finds among these files only."""
    chosen = {*new, *sources}
    everything = parent.added | parent.deleted | parent.modified
    if len(chosen) <= _MANY or 2 * len(chosen) <= len(everything):
        pathspecs = [b":(literal)" + path for path in chosen]
    else:
        left_out = everything - chosen
        # A pathspec leaves out a whole folder of that name, too.
        if not left_out.isdisjoint(_folders(chosen)):
            raise Unsettled
        pathspecs = [b":(exclude,literal)" + path for path in left_out]
    found = {}
    words = iter(_diff_tree(mirror, parent.commit, merge, ["-M", "-C", "--abbrev"], pathspecs))
    for meta in words:
        path = next(words)
        mode, _, hash_, _, status = meta.decode().lstrip(":").split(" ")
        if status[0] in "RC":
            found[next(words)] = _Source(status[0], path, mode, hash_)
    return found


def _folders(paths: Iterable[bytes]) -> set[bytes]:
    """The folders that these paths lie in, and all above them."""
    folders: set[bytes] = set()
    for path in paths:
        folder = path.rpartition(b"/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition(b"/")[0]
    return folders


def _diff_tree(
    mirror: Path, parent: str, merge: str, options: Sequence[str], pathspecs: Sequence[bytes]
) -> list[bytes]:
    """What ``git diff-tree -z`` writes, split.

    :raises GitFailedError: git did not end well
    """
    arguments: list[str | bytes] = ["git", "--no-pager", "diff-tree", "-r", "--raw", "-z", *options, parent, merge]
    done = subprocess.run(
        [*arguments, "--", *pathspecs],
        cwd=mirror,
        env=command.reading_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise GitFailedError(done.returncode, done.stderr.decode(errors="replace").strip())
    return done.stdout.split(b"\0")[:-1]
