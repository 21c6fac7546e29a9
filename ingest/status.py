"""What is known of an index and of each repository that it holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import elasticsearch

from ingest import pipeline
from ingest.git.remote import Remote
from ingest.git.store import size_of
from ingest.index import connection, manage
from ingest.index.overview import Overview
from ingest.index.state import State
from ingest.settings import Settings

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Origin:
    """A repository.

    :ivar commits: documents in the index after the last successful run; None: there was none
    :ivar lacking: commits that were rejected or unreadable; None: more than are remembered
    :ivar last_attempt: ``started``, ``seconds``, ``exit_code``, ``outcome``, ``host``; what is not known yet is None
    :ivar mirror_bytes: size of its mirror on this machine; None: not asked for
    :ivar items_bytes: size of the items that are kept of it for reindexing; None: not asked for
    """

    origin: str
    commits: int | None
    lacking: int | None
    last_success: str | None
    last_attempt: dict[str, Any] | None
    mirror_bytes: int | None = None
    items_bytes: int | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """What it is compared by: the lower, the sooner somebody should look at it."""
        attempt = self.last_attempt or {}
        failed = attempt.get("exit_code") or 0
        lacks = self.lacking != 0 and self.commits is not None
        started = attempt.get("started")
        latest = 0.0 if started is None else datetime.fromisoformat(started).timestamp()
        return (0 if failed not in (0, 3) else 1 if lacks or failed else 2), -int(latest * 1000)


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

    def lines(self, most: int | None = None) -> Iterator[str]:
        """As it is printed for people: the totals, then the repositories that failed, then those looked at last.

        :param most: so many repositories, and how many more there are
        """
        if self.behind is None:
            yield f"There is no {self.index} at {self.url} yet: make ingest REPO=…"
            return
        yield (
            f"{self.index} at {self.url} is {self.behind}: {self.documents:,} commits of {len(self.origins):,}"
            f" {'repository' if len(self.origins) == 1 else 'repositories'}, {_size(self.bytes)}"
        )
        if not self.origins:
            return
        shown = sorted(self.origins, key=lambda origin: (origin.rank, origin.origin))[:most]
        if len(shown) < len(self.origins):
            yield self._totals()
        yield from _table(shown)
        if len(shown) < len(self.origins):
            yield f"… and {len(self.origins) - len(shown):,} more: ingest status --all"

    def _totals(self) -> str:
        ranks = Counter(origin.rank[0] for origin in self.origins)
        running = sum((origin.last_attempt or {"exit_code": 0})["exit_code"] is None for origin in self.origins)
        never = sum(origin.last_success is None for origin in self.origins)
        oldest = min((origin.last_success for origin in self.origins if origin.last_success), default="never")
        return (
            f"{ranks[0]:,} failed last, {ranks[1]:,} lack commits, {running:,} are running, {never:,} never succeeded; "
            f"the oldest success is of {oldest[:19].replace('T', ' ')}"
        )


def _table(origins: Sequence[Origin]) -> Iterator[str]:
    heads = ("commits", "lacking", "last success (UTC)", "last attempt", "mirror", "items", "repository")
    rows = [heads, *map(_row, origins)]
    # A column that says nothing is left away.
    columns = [column for column in range(len(heads)) if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in columns[:-1]}
    for row in rows:
        yield "  ".join((*(row[column].rjust(width) for column, width in widths.items()), row[-1]))


def status(client: elasticsearch.Elasticsearch, settings: Settings, *, sizes: bool = False) -> Status:
    """Look at an index.

    :param sizes: look how much room each mirror takes, too, which takes time
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
    origins = [_origin(source, settings, sizes=sizes) for source in Overview(state).sources()]
    return Status(
        alias, url, index, stats["primaries"]["docs"]["count"], stats["total"]["store"]["size_in_bytes"], origins
    )


def _origin(source: dict[str, Any], settings: Settings, *, sizes: bool) -> Origin:
    reached = source["reached"] or {"lacking": None, "gitpath": None}
    lacking = reached["lacking"]
    origin = Origin(
        source["origin"],
        source["commits"],
        None if lacking is None else len(lacking),
        source["last_success"],
        source["last_attempt"],
    )
    return _measured(origin, reached["gitpath"], settings) if sizes else origin


def _measured(origin: Origin, gitpath: str | None, settings: Settings) -> Origin:
    elsewhere = Path(gitpath) if gitpath is not None and Path(gitpath).exists() else None
    path = pipeline.place(Remote.parse(origin.origin), replace(settings, gitpath=elsewhere))
    return replace(origin, mirror_bytes=_bytes(path), items_bytes=size_of(path))


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
        "" if origin.mirror_bytes is None else _size(origin.mirror_bytes),
        "" if origin.items_bytes is None else _size(origin.items_bytes),
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
