"""One commit, as git prints it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from elasticsearch.dsl import Q
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ingest.errors import UsageError
from ingest.index.conversion import item
from ingest.search.commits import BY_HASH, Commits
from ingest.text import printable

_HASH: Final = re.compile(r"[0-9a-f]{4,64}")
_CANDIDATES: Final = 10
_GRAPH: Final = 0.4
"""Part of the width that the plus and minus signs take, at most."""


@dataclass(frozen=True)
class _Change:
    """What a commit does to a file; of binary ones lines are not counted."""

    name: str
    added: int
    removed: int
    binary: bool

    @property
    def count(self) -> str:
        return "Bin" if self.binary else str(self.added + self.removed)


def find(commits: Commits, text: str) -> list[dict[str, Any]]:
    """The documents of one commit, one for each repository that has it.

    :param text: its hash, or how that begins
    :raises UsageError: it is no hash, that of no commit, or how those of several begin
    :raises IngestError: Elasticsearch does not answer
    """
    start = text.strip().lower()
    if not _HASH.fullmatch(start):
        raise UsageError(f"{text!r} is not a hash", "give at least 4 of its digits; search finds commits by words")
    query = Q("prefix", hash=start)
    found = commits.aggregated(query, {"hashes": {"terms": {"field": "hash", "size": _CANDIDATES}}})
    hashes = [bucket["key"] for bucket in found["hashes"]["buckets"]]
    if not hashes:
        raise UsageError(f"{commits.index} holds no commit {text}", "search finds commits by words")
    if len(hashes) > 1:
        shown = "\n".join(f"  {each}" for each in _candidates(commits, hashes))
        raise UsageError(
            f"Several commits' hashes begin with {text}", f"give more digits of the one you mean:\n{shown}"
        )
    return list(commits.stream(Q("term", hash=hashes[0]), BY_HASH))


def _candidates(commits: Commits, hashes: Sequence[str]) -> Iterator[str]:
    last = ""
    for each in commits.stream(Q("terms", hash=hashes), BY_HASH):
        if each["hash"] != last:
            last = each["hash"]
            yield f"{last} {each['updated_on'][:10]} {each.get('subject', '')}"


def text(documents: Sequence[dict[str, Any]], *, width: int) -> Text:
    """A commit, as ``git log --stat --format=fuller --decorate=full`` prints it, and in which repositories it is.

    :param documents: see `find`
    :param width: columns of the list of files
    """
    return Text("\n").join(_lines(documents, width))


def _lines(documents: Sequence[dict[str, Any]], width: int) -> Iterator[Text]:
    yield from _head(documents)
    message = item(documents[0])["data"].get("message", "")
    for line in ("", *message.splitlines()):
        yield Text(printable(f"    {line}".rstrip()))
    if documents[0].get("incomplete"):
        yield Text(f"\n    [{printable(documents[0]['incomplete'])}]")
    changes = [_change(file) for file in documents[0]["files"]]
    if changes:
        yield Text()
        yield from _stat(changes, width)
        yield Text(f" {_summary(documents[0])}")


def _head(documents: Sequence[dict[str, Any]]) -> Iterator[Text]:
    data = item(documents[0])["data"]
    refs = ", ".join(dict.fromkeys(ref for each in documents for ref in item(each)["data"]["refs"]))
    yield Text(printable(f"commit {data['commit']}{f' ({refs})' if refs else ''}"), "yellow")
    if "Merge" in data:
        yield Text(f"Merge: {data['Merge']}")
    for name in ("Author", "AuthorDate", "Commit", "CommitDate"):
        if name in data:
            yield Text(printable(f"{name + ':':<12}{data[name]}"))
    for each in documents:
        yield Text(printable(f"{'Repository:':<12}{each['origin']}"))


def _stat(changes: Sequence[_Change], width: int) -> Iterator[Text]:
    digits = max(len(each.count) for each in changes)
    most = max(each.added + each.removed for each in changes)
    graph = min(most, max(6, int(width * _GRAPH)))
    names = min(max(cell_len(each.name) for each in changes), max(10, width - digits - graph - 5))
    for each in changes:
        plus, minus = _signs(each, most, graph)
        line = f" {_fitted(each.name, names)} | {each.count:>{digits}} "
        shown = Text.assemble(line, (plus, "green"), (minus, "red"))
        shown.rstrip()
        yield shown


def _change(file: dict[str, Any]) -> _Change:
    name = f"{file['old_path']} => {file['path']}" if "old_path" in file else file["path"]
    return _Change(
        name.replace("\n", "?").replace("\t", "?"),
        file.get("added", 0),
        file.get("removed", 0),
        bool(file.get("binary")),
    )


def _signs(change: _Change, most: int, width: int) -> tuple[str, str]:
    """Plus and minus signs, fewer than lines where the largest change is wider than there is room."""
    scale = min(1.0, width / most) if most else 1.0
    return "+" * _scaled(change.added, scale), "-" * _scaled(change.removed, scale)


def _scaled(lines: int, scale: float) -> int:
    return max(1, int(lines * scale)) if lines else 0


def _fitted(name: str, width: int) -> str:
    """A name in so many columns; of a longer one the end."""
    if cell_len(name) <= width:
        return set_cell_size(name, width)
    while cell_len(name) > width - 3:
        name = name[1:]
    return set_cell_size(f"...{name}", width)


def _summary(document: dict[str, Any]) -> str:
    files, added, removed = (document[name] for name in ("files_count", "lines_added", "lines_removed"))
    parts = [f"{files} file{'' if files == 1 else 's'} changed"]
    if added or not removed:
        parts.append(f"{added} insertion{'' if added == 1 else 's'}(+)")
    if removed or not added:
        parts.append(f"{removed} deletion{'' if removed == 1 else 's'}(-)")
    return ", ".join(parts)
