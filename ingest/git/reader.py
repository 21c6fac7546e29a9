"""Perceval's items of a mirror, or of a saved git log."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grimoirelab_toolkit.datetime import InvalidDateError
from perceval.backends.core import git
from perceval.errors import ParseError, RepositoryError

from ingest.errors import RepositoryRefusedError
from ingest.git import command


class _Repository(git.GitRepository):  # type: ignore[misc]
    """Perceval's reader of a mirror, which no user's git configuration can mislead."""

    def __init__(self, uri: str, dirpath: str) -> None:
        super().__init__(uri, dirpath)
        self.gitenv = command.reading_environment()


class Git(git.Git):  # type: ignore[misc]
    """Perceval's backend; it keeps the name because items carry it."""

    @staticmethod
    def metadata_updated_on(item: dict[str, Any]) -> float:
        """Perceval's own; the epoch where git prints no date that can be read, at which Perceval stops."""
        try:
            return float(git.Git.metadata_updated_on(item))
        except (KeyError, InvalidDateError):
            return 0.0

    def _create_git_repository(self) -> _Repository:
        return _Repository(self.uri, self.gitpath)


def read(
    path: Path, origin: str, *, project: str | None = None, branches: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Give Perceval's item of each commit.

    :param path: a mirror, or a file that ``git log`` was saved to, with the options that Perceval names
    :param origin: repository, as it will be named in the items
    :param project: Perceval's tag
    :param branches: names of branches; none: all branches and tags
    :raises RepositoryRefusedError: git failed, or the file is not such a log; the items before it were given
    """
    backend = Git(origin, str(path), tag=project)
    try:
        yield from backend.fetch(no_update=True, branches=list(branches) or None)
    except ParseError as error:
        raise RepositoryRefusedError(
            f"{path} is not a git log that Perceval can read ({error})",
            f"save it with: git log {' '.join(git.GitRepository.GIT_PRETTY_OUTPUT_OPTS)} --reverse --topo-order",
        ) from None
    except RepositoryError as error:
        raise command.damaged(path, str(error).encode("utf-8", "replace")) from None
