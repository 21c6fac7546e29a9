"""The store of items: what git was asked once, it need not be asked again.

Beside each mirror lies a file of the items that were read from it, for the next reindexing. It is disposable: deleting
it costs time, and nothing else. It is an SQLite database that only the process opens which holds the mirror. Nothing
waits for the disk, so a power failure may damage it; a damaged one is noticed, and begun again.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from perceval.backend import __version__ as perceval_version

from ingest.git.batch import Batch, Kept
from ingest.git.perceval import Git

_log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT: Final = 1
"""Raised when items are kept, or made, in another way."""

_VERSIONS: Final = f"{FORMAT} {Git.__name__} {Git.version} {perceval_version}"
_TABLES: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE batches (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE commits (hash BLOB PRIMARY KEY, batch INTEGER NOT NULL) WITHOUT ROWID",
)
_GET: Final = "SELECT value FROM meta WHERE name = ?"
_SET: Final = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
# What is rolled back when a run is killed. Each transaction writes most pages of `commits` anew.
_COMMITS_PER_TRANSACTION: Final = 8192
# A query with more parameters takes SQLite longer to prepare than it saves.
_HASHES_PER_QUERY: Final = 512
_MOST_BYTES_AT_ONCE: Final = 8 << 20
_CACHE_KIB: Final = 16 << 10
# Bytes: a hash, the number of its batch, and what SQLite puts around them.
_ROW: Final = 64
# SQLite quotes damaged text in its messages, which Python then cannot decode: a ValueError.
_FAILURES: Final = (sqlite3.Error, OSError, ValueError)
# Of what SQLite calls operational errors, these tell of damage: there is no such table, or it makes no sense, or the
# file seems to be of a later version.
_DAMAGE: Final = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_READONLY})


def path_of(mirror: Path) -> Path:
    """Where the items of a mirror are kept."""
    return mirror.with_name(f"{mirror.name}.items")


def size_of(mirror: Path) -> int:
    """How many bytes the kept items of a mirror take; for those who do not hold it."""
    try:
        return path_of(mirror).stat().st_size
    except OSError:
        return 0


class Store:
    """The items kept for a mirror. To be opened (``with``) while the mirror is held, by one process.

    No method raises anything because of the file: where it cannot be used, that is logged, and nothing is kept.

    :param path: the file; see :func:`path_of`
    :param limit: bytes; a file that is larger takes nothing more, but serves on. 0: nothing is kept, and the file is
        removed
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._connection: sqlite3.Connection | None = None
        self._grounds = ""
        self._full = False
        self._unwritten = 0

    def __enter__(self) -> Self:
        self._guarded(self._open if self._limit else self._remove, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._use(_commit, None)
        self._close()

    @property
    def keeps(self) -> bool:
        """Whether it takes more."""
        return self._connection is not None and not self._full

    @property
    def grounds(self) -> str:
        """What the items depend on besides the commits, in whatever words it was set; at first empty.

        Whoever sets it must first discard what does not stand on it.
        """
        row = self._use(lambda db: db.execute(_GET, ("grounds",)).fetchone(), None)
        self._grounds = row[0].decode(errors="replace") if row and isinstance(row[0], bytes) else ""
        return self._grounds

    @grounds.setter
    def grounds(self, words: str) -> None:
        self._grounds = words
        self._use(lambda db: db.execute(_SET, ("grounds", words)), None)

    def take(self, hashes: Sequence[str]) -> tuple[list[Kept], int]:
        """What is kept of commits, as far as is good to have in memory at once.

        :param hashes: best some thousands, in the order in which they were read
        :return: batches, and how many of the hashes, from the first, they account for: what none of the batches names
            among these is not kept
        """
        places: dict[str, int] = self._use(lambda db: dict(_places(db, hashes)), {})
        data: dict[int, bytes] = {}
        wanted: dict[int, list[str]] = {}
        size = count = 0
        for commit in hashes:
            batch = places.get(commit)
            if batch is not None and batch not in data:
                if size >= _MOST_BYTES_AT_ONCE:
                    break
                data[batch] = self._data(batch)
                size += len(data[batch])
            if batch is not None:
                wanted.setdefault(batch, []).append(commit)
            count += 1
        return [Kept(batch, data[batch], tuple(names)) for batch, names in wanted.items() if data[batch]], count

    def add(self, batch: Batch) -> None:
        """Keep items, if there is room; where one of a commit is kept already, this one counts."""
        self._use(lambda db: self._add(db, batch), None)

    def drop(self, batches: Iterable[int]) -> None:
        """Forget whole batches, by the numbers that :meth:`take` gave."""
        rows = [(batch,) for batch in batches]
        self._use(lambda db: db.executemany("DELETE FROM batches WHERE id = ?", rows), None)
        self._use(lambda db: db.executemany("DELETE FROM commits WHERE batch = ?", rows), None)

    def discard(self, hashes: Iterable[str]) -> None:
        """Forget the items of these commits, as far as they are kept."""
        rows = [(bytes.fromhex(commit),) for commit in hashes]
        self._use(lambda db: db.executemany("DELETE FROM commits WHERE hash = ?", rows), None)
        self._use(lambda db: db.execute("DELETE FROM batches WHERE id NOT IN (SELECT batch FROM commits)"), None)

    def clear(self) -> None:
        """Forget everything, the grounds too, and give the room back."""
        self._grounds = ""
        if self._connection is not None:
            self._guarded(self._begin_again, None)

    def _add(self, db: sqlite3.Connection, batch: Batch) -> None:
        if self._full or _used(db) + len(batch.data) + _ROW * len(batch.hashes) > self._limit:
            if not self._full:
                _log.info("%s has grown to its limit (--items-bytes): no more items are kept", self._path)
            self._full = True
            return
        if not db.in_transaction:
            db.execute("BEGIN")
        number = db.execute("INSERT INTO batches (data) VALUES (?)", (batch.data,)).lastrowid
        rows = [(bytes.fromhex(commit), number) for commit in batch.hashes]
        db.executemany("INSERT OR REPLACE INTO commits VALUES (?, ?)", rows)
        self._unwritten += len(rows)
        if self._unwritten >= _COMMITS_PER_TRANSACTION:
            _commit(db)
            self._unwritten = 0

    def _data(self, batch: int) -> bytes:
        """A batch; empty, which none is, where it is missing."""
        row = self._use(lambda db: db.execute("SELECT data FROM batches WHERE id = ?", (batch,)).fetchone(), None)
        return row[0] if row and isinstance(row[0], bytes) else b""

    def _use(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """The result of working with the database, or ``otherwise``, where there is none or it fails."""
        db = self._connection
        return otherwise if db is None else self._guarded(lambda: work(db), otherwise)

    def _guarded(self, work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except _FAILURES as error:
            if _tells_of_damage(error):
                _log.warning("%s is damaged: it is begun again, and its items are read from git", self._path)
                try:
                    self._begin_again()
                except _FAILURES as another:
                    self._give_up(another)
            else:
                self._give_up(error)
        return otherwise

    def _open(self) -> None:
        db = self._connect()
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables == (0,) or db.execute(_GET, ("versions",)).fetchone() != (_VERSIONS.encode(),):
            self._begin_again()

    def _begin_again(self) -> None:
        self._close()
        self._remove()
        db = self._connect()
        db.execute("BEGIN")
        for table in _TABLES:
            db.execute(table)
        db.execute(_SET, ("versions", _VERSIONS))
        # Where the file proves to be damaged in the middle of a run, what is read from now on has the same grounds.
        db.execute(_SET, ("grounds", self._grounds))
        _commit(db)

    def _connect(self) -> sqlite3.Connection:
        # SQLite's own files beside it get the same permissions.
        self._path.touch(mode=0o600)
        self._connection = db = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        # A damaged value may be of any type, and its text not be UTF-8.
        db.text_factory = bytes
        for pragma in ("locking_mode = EXCLUSIVE", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            db.execute(f"PRAGMA {pragma}")
        return db

    def _give_up(self, error: Exception) -> None:
        _log.warning(
            "%s cannot be used (%s): no items are kept in this run. Make room, or do without: --items-bytes 0",
            self._path, error.strerror if isinstance(error, OSError) else error,
        )  # fmt: skip
        self._close()

    def _close(self) -> None:
        db, self._connection, self._full, self._unwritten = self._connection, None, False, 0
        if db is not None:
            db.close()

    def _remove(self) -> None:
        # A journal left beside a new file would be taken for its own.
        for suffix in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _places(db: sqlite3.Connection, hashes: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The number of the batch of each commit that is kept."""
    remaining = iter(hashes)
    while some := {bytes.fromhex(commit): commit for commit in islice(remaining, _HASHES_PER_QUERY)}:
        marks = ",".join("?" * len(some))
        query = f"SELECT hash, batch FROM commits WHERE hash IN ({marks})"  # noqa: S608 - question marks only
        with closing(db.execute(query, tuple(some))) as rows:
            for name, batch in rows:
                # A damaged index gives rows that nobody asked for.
                if name in some and isinstance(batch, int):
                    yield some[name], batch


def _used(db: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; those that were given up are written again first."""
    (pages,), (free,), (each,) = (
        db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * each)


def _commit(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        db.execute("COMMIT")


def _tells_of_damage(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _DAMAGE
    return not isinstance(error, OSError)
