"""What a mirror looks like at one moment: all that the documents of its commits depend on, besides the commits."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.errors import RepositoryRefusedError
from ingest.git import command
from ingest.git.decorations import decorations
from ingest.git.history import History, Selection, tips

_SHARED: Final = ("refs/heads", "refs/tags")


@dataclass(frozen=True)
class Snapshot:
    """A mirror's refs, and what else changes documents without new commits.

    :ivar tips: hashes of the commits at the ends of the selected branches and tags, sorted
    :ivar decorations: of each commit that refs point to, how git shows them
    :ivar mailmap: hash of the mailmap that git applies to names, empty where there is none
    :ivar shallow: a digest of the commits whose parents are cut off, empty where there are none
    :ivar refs: a digest of all branches and tags, see `fingerprint`; empty: not known
    """

    tips: tuple[str, ...]
    decorations: Mapping[str, str]
    mailmap: str
    shallow: str
    refs: str = ""


def snapshot(mirror: Path, selection: Selection) -> Snapshot:
    """Look at a mirror, which nobody may change meanwhile.

    :raises RepositoryRefusedError: a branch is not in the mirror, or git cannot read it
    """
    return Snapshot(
        tuple(tips(mirror, selection.branches)),
        decorations(mirror),
        _mailmap(mirror),
        shallow(mirror),
        fingerprint(command.lines(mirror, ["for-each-ref", "--format=%(objectname)\t%(refname)", *_SHARED])),
    )


def fingerprint(refs: Iterable[str]) -> str:
    """A digest of branches and tags, and of git's version, on which it depends which decorations there are.

    :param refs: as ``git ls-remote`` prints them, in any order
    """
    return hashlib.sha256("\n".join([command.version(), *sorted(refs)]).encode("utf-8", "surrogateescape")).hexdigest()


def renamed(mirror: Path, history: History, before: str, now: str) -> set[str] | None:
    """The commits whose authors or committers another mailmap names otherwise.

    :param before: hash of a mailmap, empty for none
    :param now: likewise
    :return: their hashes; None where the mirror does not hold one of the mailmaps any more
    """
    if any(mailmap and not _holds(mirror, mailmap) for mailmap in (before, now)):
        return None
    pairs = zip(history.signed(before), history.signed(now), strict=True)
    return {is_now.hash for was, is_now in pairs if was != is_now}


def _mailmap(mirror: Path) -> str:
    # In a bare repository git takes the mailmap of HEAD; where that commit is damaged, none.
    try:
        return next(command.lines(mirror, ["rev-parse", "--quiet", "--verify", "HEAD:.mailmap"]), "")
    except RepositoryRefusedError:
        return ""


def _holds(mirror: Path, blob: str) -> bool:
    try:
        return next(command.lines(mirror, ["cat-file", "-t", blob]), "") == "blob"
    except RepositoryRefusedError:
        return False


def shallow(mirror: Path) -> str:
    """A digest of the commits of a mirror whose parents are cut off; empty where there are none."""
    file = mirror / "shallow"
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
