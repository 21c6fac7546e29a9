"""Which commits: the branches and tags of a mirror, and the hashes that can be reached from them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from ingest.errors import RepositoryRefusedError
from ingest.git import command


class History:
    """The commits of a mirror that every branch and tag reaches, or the given branches; parents before children.

    Iterating gives their hashes, read from git as they are asked for; ``len()`` is known beforehand.

    :raises RepositoryRefusedError: a branch is not in the mirror, or git cannot read it
    """

    def __init__(self, mirror: Path, branches: Sequence[str] = ()) -> None:
        self._mirror = mirror
        self._tips = [f"refs/heads/{branch}" for branch in branches] or ["--branches", "--tags"]
        if branches:
            _check_branches(mirror, branches)

    def __iter__(self) -> Iterator[str]:
        return command.lines(self._mirror, ["rev-list", "--reverse", "--topo-order", *self._tips])

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        (count,) = command.lines(self._mirror, ["rev-list", "--count", *self._tips])
        return int(count)


def _check_branches(mirror: Path, branches: Sequence[str]) -> None:
    known = list(command.lines(mirror, ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]))
    for branch in branches:
        if branch not in known:
            raise RepositoryRefusedError(
                f"The repository has no branch {branch!r}", f"choose among its branches: {', '.join(known[:20])}"
            )
