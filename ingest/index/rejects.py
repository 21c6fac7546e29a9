"""What Elasticsearch rejected for good, whole and with its reason, in a file that can be sent again."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from ingest.errors import RepositoryRefusedError, UsageError
from ingest.index.bulk import Outcome
from ingest.index.document import Action


class Rejects:
    """A JSON-lines file in `folder`, made when the first document is rejected, readable by its owner only.

    Each line is an object: ``index`` (the alias), ``_id``, ``status``, ``reason``, ``document``.

    :ivar path: the file; None while nothing was rejected
    """

    def __init__(self, folder: Path, alias: str) -> None:
        self.path: Path | None = None
        self._folder = folder
        self._alias = alias
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Write one rejected document.

        :raises RepositoryRefusedError: the file cannot be written
        """
        line = {
            "index": self._alias,
            "_id": outcome.action.id,
            "status": outcome.status,
            "reason": outcome.reason,
            "document": orjson.Fragment(outcome.action.source),
        }
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self._file.flush()
        except OSError as error:
            raise RepositoryRefusedError(
                f"A rejected document cannot be kept in {self._folder} ({error.strerror or error})",
                "make room there, or set INGEST_HOME to another disk",
            ) from None

    def _open(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = self._folder / f"{self._alias}-{datetime.now(UTC):%Y%m%d%H%M%S%f}.jsonl"
        file = self.path.open("xb")
        self.path.chmod(0o600)
        return file


def read(path: Path) -> Iterator[tuple[str, Action]]:
    """Give the alias and the action of each line of a file of rejects.

    :raises UsageError: the file cannot be read, or is none
    """
    number = 1
    try:
        with path.open("rb") as lines:
            for line in lines:
                reject = orjson.loads(line)
                yield reject["index"], Action(reject["_id"], orjson.dumps(reject["document"]))
                number += 1
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", "name a file of rejects") from None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise UsageError(f"Line {number} of {path} is not a rejected document", "name a file of rejects") from None
