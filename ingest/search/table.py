"""Tables for a terminal, fitted to its width, and plain lines for everything else."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.search.commits import BEGIN, END, Hits
from ingest.search.groups import Group
from ingest.search.repositories import short
from ingest.text import printable

_HASH: Final = 8
SOURCE: Final = {"includes": ["hash", "origin", "author", "updated_on", "subject"]}
"""What `line` needs of a document."""
_DATE: Final = 10
_GAP: Final = 2
_LEAST_SUBJECT: Final = 24
_FOUND: Final = "bold red"


def line(source: dict[str, Any]) -> str:
    """A commit for a program: hash, commit date in UTC, author, repository, subject, with tabs between."""
    fields = (source["hash"], source["updated_on"], _author(source), source["origin"], source.get("subject", ""))
    return "\t".join(_on_a_line(each) for each in fields)


def show(console: Console, found: Hits, *, repositories: bool) -> None:
    """Print commits as a table.

    :param found: see `ingest.search.commits.Commits.first`
    :param repositories: with their repositories, because there are several
    """
    sources = [hit["_source"] for hit in found.hits]
    columns = {
        "commit": [Text(each["hash"][:_HASH], style="yellow") for each in sources],
        "date": [Text(each["updated_on"][:_DATE]) for each in sources],
        "author": [Text(_author(each), style="cyan") for each in sources],
        "repository": [Text(_on_a_line(short(each["origin"])), style="green") for each in sources],
    }
    if not repositories:
        del columns["repository"]
    widths = {name: max(len(name), _width(cells, console.width)) for name, cells in columns.items()}
    for name in ("repository", "author"):
        if name in widths and _left(console, widths) < _LEAST_SUBJECT:
            del widths[name]
    widths["subject"] = max(1, _left(console, widths))
    columns["subject"] = [_subject(hit["_source"], hit.get("highlight", {}), widths["subject"]) for hit in found.hits]
    table = _table()
    for name, width in widths.items():
        table.add_column(name, width=width, no_wrap=True, overflow="ellipsis")
    for row in zip(*(columns[name] for name in widths), strict=True):
        table.add_row(*row)
    console.print(table)


def _author(source: dict[str, Any]) -> str:
    # Git prints no header of a signature that it cannot parse.
    return _on_a_line(source.get("author", {}).get("name", ""))


def _width(cells: Sequence[Text], room: int) -> int:
    """Of a column: what its cells need, but no more than a fifth of the room, unless it is a hash or a date."""
    return min(max(cell.cell_len for cell in cells), max(_DATE, room // 5))


def _left(console: Console, widths: dict[str, int]) -> int:
    return console.width - sum(widths.values()) - _GAP * len(widths)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")


def _subject(source: dict[str, Any], found: dict[str, list[str]], width: int) -> Text:
    """The subject, and below it the part of the message that holds the words, if the subject does not.

    :param found: the highlighted parts, by field
    """
    if "subject" in found:
        return _highlighted(found["subject"][0])
    subject = Text(_on_a_line(source.get("subject", "")))
    if "message" not in found:
        return subject
    excerpt = _highlighted(found["message"][0].removeprefix(source.get("subject", "")).lstrip())
    place = min((span.start for span in excerpt.spans if span.style == _FOUND), default=0)
    # So that what was found is not what is cut off.
    start = excerpt.plain.find(" ", max(0, place - width // 3), place) + 1 if place > width // 2 else 0
    return Text.assemble(subject, "\n", ("  … ", "dim"), excerpt[start:])


def _highlighted(text: str) -> Text:
    """A text in which Elasticsearch has marked what it found."""
    shown = Text()
    for part in text.split(BEGIN):
        found, _, rest = part.rpartition(END)
        shown.append(_on_a_line(found), style=_FOUND)
        shown.append(_on_a_line(rest))
    return shown


def _on_a_line(text: str) -> str:
    return printable(text.replace("\n", " ").replace("\t", " "))


def group_line(group: Group) -> str:
    """A group for a program: commits, lines added and removed, first and last date, name, with tabs between."""
    first, last = group.first or "", group.last or ""
    return "\t".join((str(group.commits), str(group.added), str(group.removed), first, last, _on_a_line(group.name)))


def show_groups(console: Console, groups: Sequence[Group], kind: str) -> None:
    """Print groups as a table; of the calendar's, the name says when."""
    table = _table()
    for name in ("commits", "added", "removed"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        table.add_column(name, no_wrap=True)
    table.add_column(kind, no_wrap=True, overflow="ellipsis")
    for each in groups:
        numbers = (f"{number:,}" for number in (each.commits, each.added, each.removed))
        table.add_row(*numbers, each.first or "", each.last or "", Text(_on_a_line(each.name)))
    console.print(table)
