"""Which commits: what is selected of a mirror, and the hashes that can be reached from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from ingest.errors import RepositoryRefusedError
from ingest.git import command

_SEPARATOR: Final = "\0"


class Hashes(Protocol):
    """Hashes that are known to be so many, and come as they are asked for."""

    def __iter__(self) -> Iterator[str]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Selection:
    """Which commits of a repository are wanted.

    :ivar branches: those that these branches reach; none: every branch and tag
    :ivar since: of those, the ones with this commit date or a later one; seconds since 1970, None: no bound
    :ivar until: with this commit date or an earlier one
    """

    branches: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None

    @property
    def has_dates(self) -> bool:
        """Whether dates bound it."""
        return self.since is not None or self.until is not None

    def holds(self, commit_date: int) -> bool:
        """Whether a commit of that date (seconds since 1970) is wanted, if a branch reaches it."""
        return (self.since is None or self.since <= commit_date) and (self.until is None or commit_date <= self.until)


class Signed(NamedTuple):
    """What of a commit may change while its hash does not, apart from ``refs``.

    ``parents`` do in a shallow repository that is deepened; ``author`` and ``committer`` (``Name <email>``) with the
    mailmap.
    """

    hash: str
    parents: list[str]
    author: str
    committer: str


class History:
    """The selected commits that some commits reach, parents before children.

    Git is asked once, when the first hash or ``len()`` is; memory grows by the bytes of a hash for each commit.

    :param wanted: hashes from which commits are reached
    :param unwanted: hashes; what they reach is left out

    Both raise RepositoryRefusedError when git cannot read the mirror.
    """

    def __init__(self, mirror: Path, selection: Selection, wanted: Sequence[str], unwanted: Sequence[str] = ()) -> None:
        self._mirror = mirror
        self._selection = selection
        self._tips = [*wanted, *(f"^{commit}" for commit in unwanted)] if wanted else []

    def __iter__(self) -> Iterator[str]:
        width, packed = self._hashes
        return (packed[start : start + width].hex() for start in range(0, len(packed), width))

    def __len__(self) -> int:
        width, packed = self._hashes
        return len(packed) // width

    def signed(self, mailmap: str | None = None) -> Iterator[Signed]:
        """The same commits with what may change of them, children before parents.

        :param mailmap: hash of the mailmap to apply, empty for none; None for the mirror's own
        """
        configured = () if mailmap is None else ("-c", f"mailmap.blob={mailmap}")
        style = "%x00".join(("--format=%ct", "%H", "%P", "%aN <%aE>", "%cN <%cE>"))
        for line in self._run(*configured, "log", "--topo-order", style):
            date, commit, parents, author, committer = line.split(_SEPARATOR)
            if self._selection.holds(int(date or 0)):
                yield Signed(commit, parents.split(), author.lstrip(" "), committer.lstrip(" "))

    @cached_property
    def _hashes(self) -> tuple[int, bytearray]:
        """The bytes of a hash, how many those are, and the hashes one after the other."""
        width, packed = 1, bytearray()
        dated = ("--timestamp",) if self._selection.has_dates else ()
        for line in self._run("rev-list", "--reverse", "--topo-order", *dated):
            date, _, commit = line.rpartition(" ")
            if not dated or self._selection.holds(int(date)):
                packed += bytes.fromhex(commit)
                width = len(commit) // 2
        return width, packed

    def _run(self, *arguments: str) -> Iterator[str]:
        if not self._tips:
            return iter(())
        return command.lines(self._mirror, [*arguments, "--stdin"], self._tips)


def tips(mirror: Path, branches: Sequence[str]) -> list[str]:
    """The commits at the ends of branches and tags, or of the given branches; each once.

    :raises RepositoryRefusedError: a branch is not in the mirror, or git cannot read it
    """
    if branches:
        _check_branches(mirror, branches)
    refs = [f"refs/heads/{branch}" for branch in branches] or ["--branches", "--tags"]
    return sorted(set(command.lines(mirror, ["rev-list", "--no-walk=unsorted", *refs])))


def _check_branches(mirror: Path, branches: Sequence[str]) -> None:
    known = set(command.lines(mirror, ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]))
    for branch in branches:
        if branch not in known:
            some = ", ".join(sorted(known)[:20])
            raise RepositoryRefusedError(
                f"The repository has no branch {branch!r}", f"choose among its branches: {some}"
            )
