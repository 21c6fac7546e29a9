"""What is known of an index and of each repository that it holds."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import elasticsearch

from ingest import pipeline
from ingest.git.remote import Remote
from ingest.git.store import size_of
from ingest.index import connection, manage
from ingest.index.state import Entry, State
from ingest.settings import Settings

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Origin:
    """A repository.

    :ivar commits: documents in the index after the last successful run; None: there was none
    :ivar lacking: commits that were rejected or unreadable; None: more than are remembered
    :ivar last_attempt: ``started``, ``seconds``, ``exit_code``, ``outcome``, ``host``; what is not known yet is None
    :ivar mirror_bytes: size of its mirror on this machine
    :ivar items_bytes: size of the items that are kept of it for reindexing
    """

    origin: str
    commits: int | None
    lacking: int | None
    last_success: str | None
    last_attempt: dict[str, Any] | None
    mirror_bytes: int
    items_bytes: int


@dataclass(frozen=True)
class Status:
    """An index.

    :ivar behind: the index that the alias stands for; None: there is none
    """

    index: str
    url: str
    behind: str | None
    documents: int
    bytes: int
    origins: list[Origin]

    def to_json(self) -> dict[str, Any]:
        """As it is printed with ``--json``."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """As it is printed for people."""
        if self.behind is None:
            yield f"There is no {self.index} at {self.url} yet: make ingest REPO=…"
            return
        yield (
            f"{self.index} at {self.url} is {self.behind}: {self.documents:,} commits of {len(self.origins):,}"
            f" {'repository' if len(self.origins) == 1 else 'repositories'}, {_size(self.bytes)}"
        )
        if not self.origins:
            return
        heads = ("commits", "lacking", "last success (UTC)", "last attempt", "mirror", "items", "repository")
        rows = [heads, *map(_row, self.origins)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(heads) - 1)]
        for row in rows:
            left = (cell.rjust(width) for cell, width in zip(row, widths, strict=False))
            yield "  ".join((*left, row[-1]))


def status(client: elasticsearch.Elasticsearch, settings: Settings) -> Status:
    """Look at an index.

    :raises IngestError: Elasticsearch does not answer
    """
    alias, url = settings.index, connection.shown(client)
    index = manage.behind(client, alias)
    if index is None:
        return Status(alias, url, None, 0, 0, [])
    state = State(client, alias, index, settings.retry_for)
    state.create()
    with connection.explained(client):
        stats = client.indices.stats(index=index, metric=["docs", "store"])["_all"]
    origins = [_origin(entry, settings) for entry in state.entries()]
    return Status(
        alias, url, index, stats["primaries"]["docs"]["count"], stats["total"]["store"]["size_in_bytes"], origins
    )


def _origin(entry: Entry, settings: Settings) -> Origin:
    reached = entry.reached
    path = pipeline.place(Remote.parse(entry.origin), pipeline.as_before(settings, reached))
    return Origin(
        entry.origin,
        None if reached is None else reached.commits,
        None if reached is None or reached.lacking is None else len(reached.lacking),
        entry.last_success,
        entry.last_attempt,
        _bytes(path),
        size_of(path),
    )


def _bytes(path: Path) -> int:
    """Of a file, or of a folder with all that is below it."""
    if path.is_dir():
        return sum(each.lstat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.exists() else 0


def _row(origin: Origin) -> tuple[str, ...]:
    attempt = origin.last_attempt or {}
    return (
        "-" if origin.commits is None else f"{origin.commits:,}",
        "many" if origin.lacking is None and origin.commits is not None else f"{origin.lacking or 0:,}",
        (origin.last_success or "never")[:19].replace("T", " "),
        _outcome(attempt),
        _size(origin.mirror_bytes),
        _size(origin.items_bytes),
        origin.origin,
    )


def _outcome(attempt: dict[str, Any]) -> str:
    if not attempt:
        return "none"
    if attempt["exit_code"] is None:
        return f"running since {attempt['started'][:16].replace('T', ' ')}"
    return f"exit {attempt['exit_code']} in {attempt['seconds']:,.1f} s"


def _size(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}"
        count /= 1000
    raise AssertionError
