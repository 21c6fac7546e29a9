"""Lists of repositories: a plain one, or GrimoireLab's ``projects.json``."""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from ingest.errors import UsageError
from ingest.git.remote import Remote

_log = logging.getLogger(__name__)

_GIT: Final = "git"
"""The section of a project in ``projects.json`` that lists repositories."""
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_LIKE: Final = "see docs/scale.md for what a list may hold"


class Wanted(NamedTuple):
    """A repository that is to be loaded.

    ``project``: the label of its documents; None: that of the settings.
    ``place``: where it was named, for messages.
    """

    remote: Remote
    project: str | None = None
    place: str = "an argument"


def read(path: Path) -> list[Wanted]:
    """The repositories of a list, each once, in its order.

    A file whose first character is ``{`` is taken for a ``projects.json``, ``{"project": {"git": ["URL", …]}}``. Any
    other holds a repository in a line, and, after white space, a project label; ``#`` begins a comment.

    :raises UsageError: the file cannot be read, names no repository, one with two labels, or something that is none;
        the message names the line
    """
    text = _text(path)
    rows = _projects(path, text) if text.lstrip().startswith("{") else _lines(path, text)
    wanted = joined(_parsed(row) for row in rows)
    if not wanted:
        raise UsageError(f"{path} names no repository", _LIKE)
    return wanted


def joined(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Repositories, each once.

    :raises UsageError: one is named with two labels
    """
    found: dict[str, Wanted] = {}
    for each in wanted:
        first = found.setdefault(each.remote.origin, each)
        if first.project != each.project:
            raise UsageError(
                f"{each.remote.origin} is of project {_shown(first.project)} in {first.place}"
                f" and of {_shown(each.project)} in {each.place}",
                "a repository has one label: remove one of the two",
            )
    return list(found.values())


def _shown(project: str | None) -> str:
    return "none" if project is None else repr(project)


class _Row(NamedTuple):
    repository: str
    project: str | None
    place: str


def _parsed(row: _Row) -> Wanted:
    try:
        return Wanted(Remote.parse(row.repository), row.project, row.place)
    except UsageError as error:
        raise UsageError(f"{row.place}: {error.what}", error.advice) from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"The list {path} cannot be read ({error.strerror or error})", "name a file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line} is not UTF-8", "save the file as UTF-8") from None


def _lines(path: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.splitlines(), 1):
        repository, *label = _COMMENT.sub("", line).split(maxsplit=1)[:2] or [""]
        if repository:
            yield _Row(repository, label[0].strip() if label else None, f"{path}:{number}")


def _projects(path: Path, text: str) -> Iterator[_Row]:
    try:
        projects: dict[str, Any] = json.loads(text, object_pairs_hook=partial(_unique, path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno} is not JSON ({error.msg})", _LIKE) from None
    places = _Places(path, text)
    others: set[str] = set()
    for project, sections in projects.items():
        where = places.of(project)
        if not isinstance(sections, dict):
            raise UsageError(f"{where}: the project {project!r} is no object", _LIKE)
        others |= sections.keys() - {_GIT, "meta"}
        repositories = sections.get(_GIT, [])
        if not isinstance(repositories, list) or not all(isinstance(each, str) for each in repositories):
            raise UsageError(f"{where}: {_GIT!r} of the project {project!r} is no list of URLs", _LIKE)
        for repository in repositories:
            yield _of_project(repository, project, places.of(repository))
    if others:
        _log.info("%s: passed over what is not git: %s", path, ", ".join(sorted(others)))


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, of whose members JSON itself would drop all but the last of a name."""
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise UsageError(f"{path}: an object has {count} members named {name!r}", "join them, or rename one")
    return dict(pairs)


def _of_project(repository: str, project: str, place: str) -> _Row:
    """A repository without the labels and filters that may follow its URL."""
    address, *rest = repository.split() or [""]
    if rest:
        _log.info("%s: passed over %s", place, " ".join(rest))
    return _Row(address, project, place)


@dataclass
class _Places:
    """Tells in which line a string of a JSON text is, if it is asked for them in the text's order."""

    path: Path
    text: str
    position: int = 0

    def of(self, value: str) -> str:
        for literal in (json.dumps(value, ensure_ascii=False), json.dumps(value)):
            found = self.text.find(literal, self.position)
            if found >= 0:
                self.position = found + len(literal)
                return f"{self.path}:{self.text.count(chr(10), 0, found) + 1}"
        return str(self.path)
