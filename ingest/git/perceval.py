"""Perceval's commits: its own parser and metadata, with what it cannot do or does slowly replaced."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from grimoirelab_toolkit.datetime import InvalidDateError
from perceval.backend import DEFAULT_SEARCH_FIELD
from perceval.backends.core import git as perceval
from perceval.errors import ParseError

from ingest.errors import RepositoryRefusedError
from ingest.git import dates

# Perceval guesses what shorter years mean, and refuses wider offsets (minutes).
_FIRST_CLEAR_YEAR: Final = 1000
_DAY: Final = 24 * 60
_LOG_COMMAND: Final = " ".join(["git log", *perceval.GitRepository.GIT_PRETTY_OUTPUT_OPTS])


class Parser(perceval.GitParser):  # type: ignore[misc]
    """Perceval's parser of git's log, which also takes the 64 digits of a SHA-256 repository.

    It joins the lines of a message at its end, where Perceval's copies the message for each: 93 s for ten megabytes.
    """

    COMMIT_PATTERN = perceval.GitParser.COMMIT_PATTERN.replace("{40}", "{40}(?:[a-f0-9]{24})?")
    GIT_COMMIT_REGEXP = re.compile(COMMIT_PATTERN, re.VERBOSE)

    def __init__(self, stream: Iterable[str]) -> None:
        super().__init__(stream)
        self._message: list[str] = []

    def _handle_message(self, line: str) -> bool:
        parsed: bool = super()._handle_message(line)
        if (text := self.commit.pop("message", None)) is not None:
            self._message.append(text)
        return parsed

    def _build_commit(self) -> dict[str, Any]:
        if self._message:
            self.commit["message"] = "\n".join(self._message)
            self._message = []
        commit: dict[str, Any] = super()._build_commit()
        return commit


class Git(perceval.Git):  # type: ignore[misc]
    """Perceval's backend with our parser.

    It must bear Perceval's name: items say in ``backend_name`` which class they come from.
    """

    def items(self, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Perceval's items, see :meth:`item`, from the lines of a git log.

        :raises ParseError: where the text is not a log that Perceval takes
        """
        return map(self.item, Parser(lines).parse())

    def item(self, data: dict[str, Any]) -> dict[str, Any]:
        """Perceval's item, metadata included, of what its parser gave.

        Where git prints no date, or one that cannot be read, Perceval stops; here ``updated_on`` is the epoch.
        """
        try:
            item: dict[str, Any] = self.metadata(data)
        except (KeyError, InvalidDateError):
            item = self.metadata(data | {"CommitDate": "Thu Jan 1 00:00:00 1970 +0000"}) | {"data": data}
        return item

    def search_fields(self, item: dict[str, Any]) -> dict[str, str]:
        """Perceval's own for this backend, without computing the item's uuid again for a debug message."""
        return {DEFAULT_SEARCH_FIELD: item["commit"]}

    @staticmethod
    def metadata_updated_on(item: dict[str, Any]) -> float:
        """Perceval's own value, without its costly guess at the date's format where git's is seen."""
        date = dates.read(item["CommitDate"])
        if date is None or not date.exact or date.local.year < _FIRST_CLEAR_YEAR or abs(date.offset) >= _DAY:
            return float(perceval.Git.metadata_updated_on(item))
        return date.timestamp

    @staticmethod
    def parse_git_log_from_file(filepath: str) -> Iterator[dict[str, Any]]:
        with Path(filepath).open(encoding="utf-8", errors="surrogateescape", newline="\n") as log:
            yield from Parser(log).parse()


def refs(decoration: str) -> list[str]:
    """The ``refs`` that Perceval's parser makes of a decoration, which it splits at each comma."""
    return [part.strip() for part in decoration.split(",")] if decoration else []


def read_log(path: Path, origin: str, tag: str | None = None) -> Iterator[dict[str, Any]]:
    """Perceval's items from a saved git log, in its order.

    :param path: a file written by ``git log`` with the options that Perceval gives it:
        ``--raw --numstat --pretty=fuller --decorate=full --parents -M -C -c``
    :param origin: the URL of the repository that the log is of

    :raises RepositoryRefusedError: when the file cannot be read, or is no such log; items before that place
        have been given out by then
    """
    advice = f"save it with: {_LOG_COMMAND}"
    if not path.is_file():
        raise RepositoryRefusedError(f"{path} is not a file", advice)
    try:
        yield from Git(uri=origin, gitpath=str(path), tag=tag).fetch()
    except OSError as error:
        raise RepositoryRefusedError(f"{path} can't be read: {error.strerror}", "Check the file") from error
    except KeyError as error:
        raise RepositoryRefusedError(f"{path} holds a commit without {error.args[0]}", advice) from error
    except (ParseError, InvalidDateError) as error:
        raise RepositoryRefusedError(f"{path} is not a git log that Perceval reads: {error}", advice) from error
