"""Seeing that an index stays, during a load, the one that it was at its beginning."""

import time
from typing import Any, Final, NamedTuple

import elasticsearch
import orjson

from ingest.errors import ElasticsearchRefusedError, ElasticsearchUnavailableError
from ingest.index.patience import patiently

_EVERY: Final = 1.0
"""Seconds from one look to the next."""


class _Identity(NamedTuple):
    """What tells an index from others of its name, and from itself before its mapping was changed."""

    uuid: str
    mapping: bytes


class Guard:
    """Looks now and then whether an alias still stands for the same index, with the same mapping.

    Elasticsearch itself tells when the alias is gone (``require_alias``), and which index took a document; not that an
    index of that name is another one by now, or that somebody has changed its mapping.

    :param index: the one that the alias must stand for
    :param retry_for: seconds without an answer until it is given up
    """

    def __init__(self, client: elasticsearch.Elasticsearch, alias: str, index: str, retry_for: float) -> None:
        self._client = client
        self._alias = alias
        self._index = index
        self._retry_for = retry_for
        self._first: _Identity | None = None
        self._next = 0.0

    def look(self, *, now: bool = False) -> None:
        """Look again, if the last time was a while ago.

        :param now: even if it was not
        :raises ElasticsearchRefusedError: the alias or its index is gone, another one, or its mapping was changed
        :raises ElasticsearchUnavailableError: the alias stands for another index, as a reindex does it
        """
        if not now and time.monotonic() < self._next:
            return
        behind = patiently(self._client, self._behind, self._retry_for, f"{self._alias} could not be looked at")
        if list(behind) != [self._index]:
            raise moved(self._alias, self._index, *behind)
        found = behind[self._index]
        first = self._first = self._first or found
        if found.uuid != first.uuid:
            raise ElasticsearchRefusedError(
                f"{self._index} was replaced by another index of that name during the load", "find out who did that"
            )
        if found.mapping != first.mapping:
            raise ElasticsearchRefusedError(
                f"The mapping of {self._index} was changed during the load",
                f"change it between runs, or not at all: make reindex INDEX={self._alias}",
            )
        self._next = time.monotonic() + _EVERY

    def _behind(self, client: elasticsearch.Elasticsearch) -> dict[str, _Identity]:
        try:
            found = client.indices.get(
                index=self._alias,
                features=["mappings", "settings"],
                filter_path=["*.mappings", "*.settings.index.uuid"],
            )
        except elasticsearch.NotFoundError:
            raise ElasticsearchRefusedError(
                f"{self._alias} was deleted during the load", "if that was no mistake, the next run makes it anew"
            ) from None
        return {index: _identity(body) for index, body in found.items()}


def moved(alias: str, before: str, *now: str) -> ElasticsearchUnavailableError:
    """What to say where an alias no longer stands for the index that it stood for."""
    return ElasticsearchUnavailableError(
        f"The alias {alias} was moved from {before} to {', '.join(now)} during the load",
        "a reindex does that; the new run takes the index that is behind it now",
    )


def _identity(body: dict[str, Any]) -> _Identity:
    # What a load notes in ``_meta`` is no change.
    mapping = {name: value for name, value in body["mappings"].items() if name != "_meta"}
    return _Identity(body["settings"]["index"]["uuid"], orjson.dumps(mapping, option=orjson.OPT_SORT_KEYS))
