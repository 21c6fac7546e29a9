"""What is missing from the index, and why: what Elasticsearch rejected for good, whole; what git could not read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from ingest.errors import RepositoryRefusedError, UsageError
from ingest.index.bulk import Outcome
from ingest.index.conversion import Action


class Rejects:
    """A JSON-lines file in `folder`, made when there is something to list, readable by its owner only.

    Each line is an object, and none is there twice. A rejected document: ``index`` (the alias), ``_id``, ``status``,
    ``reason``, ``document``. A commit that git could not read, or not whole: ``index``, ``origin``, ``hash``,
    ``reason``.

    :ivar path: the file; None while there is nothing to list
    """

    def __init__(self, folder: Path, alias: str) -> None:
        self.path: Path | None = None
        self._folder = folder
        self._alias = alias
        self._file: BinaryIO | None = None
        self._listed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """List a rejected document, whole.

        :raises RepositoryRefusedError: the file cannot be written
        """
        self._write(
            outcome.action.id,
            {
                "index": self._alias,
                "_id": outcome.action.id,
                "status": outcome.status,
                "reason": outcome.reason,
                "document": orjson.Fragment(outcome.action.source),
            },
        )

    def add_unreadable(self, origin: str, commit: str, reason: str) -> None:
        """List a commit that is not indexed, or not whole, because git could not read it, by its hash.

        :raises RepositoryRefusedError: the file cannot be written
        """
        line = {"index": self._alias, "origin": origin, "hash": commit, "reason": reason}
        self._write(f"{origin} {commit}", line)

    def _write(self, key: str, line: dict[str, Any]) -> None:
        if key in self._listed:
            return
        self._listed.add(key)
        self.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def append(self, line: bytes) -> None:
        """List what is a line already.

        :raises RepositoryRefusedError: the file cannot be written
        """
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise RepositoryRefusedError(
                f"What could not be indexed cannot be listed in {self._folder} ({error.strerror or error})",
                "make room there, or set INGEST_HOME to another disk",
            ) from None

    def _open(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = self._folder / f"{self._alias}-{datetime.now(UTC):%Y%m%d%H%M%S%f}.jsonl"
        self.path.touch(mode=0o600, exist_ok=False)
        return self.path.open("ab")


def read(path: Path) -> Iterator[tuple[str, Action]]:
    """Give the alias and the action of each rejected document in a file of rejects; other lines are passed over.

    :raises UsageError: the file cannot be read, or is none
    """
    number = 1
    try:
        with path.open("rb") as lines:
            for line in lines:
                reject = orjson.loads(line)
                match reject:
                    case {"index": str(alias), "_id": str(identifier), "document": {**fields}}:
                        yield alias, Action(identifier, orjson.dumps(fields))
                    case {"hash": _} if "document" not in reject:
                        pass
                    case _:
                        raise TypeError
                number += 1
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "name a file of rejects") from None
    except (orjson.JSONDecodeError, TypeError):
        raise UsageError(f"Line {number} of {path} is not a rejected document", "name a file of rejects") from None
