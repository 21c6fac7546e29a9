"""Which commits: the branches and tags of a mirror, and the hashes that can be reached from them."""

from collections.abc import Sequence
from pathlib import Path

from ingest.errors import RepositoryRefusedError
from ingest.git import command


def tips(mirror: Path, branches: Sequence[str] = ()) -> list[str]:
    """The revision arguments that select a history: every branch and tag, or the given branches.

    :raises RepositoryRefusedError: a branch is not in the mirror
    """
    if not branches:
        return ["--branches", "--tags"]
    known = command.output(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"], mirror=mirror).split("\n")
    for branch in branches:
        if branch not in known:
            raise RepositoryRefusedError(
                f"The repository has no branch {branch!r}",
                f"choose among its branches: {', '.join(known[:20])}",
            )
    return [f"refs/heads/{branch}" for branch in branches]


def count(mirror: Path, tips: Sequence[str]) -> int:
    """How many commits can be reached."""
    return int(command.output(["rev-list", "--count", *tips], mirror=mirror))
