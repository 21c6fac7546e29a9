"""The index behind the alias: created up front with its mapping, tuned during a first load, put back afterwards."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import elasticsearch

from ingest.errors import ElasticsearchRefusedError, IngestError
from ingest.index import connection
from ingest.index.document import mapping
from ingest.index.patience import patiently

_log = logging.getLogger(__name__)

_TUNED = {"refresh_interval": "-1", "auto_expand_replicas": "false", "number_of_replicas": "0"}
"""Settings during a first load. The values that were there before are kept in the mapping's ``_meta``."""
_BEFORE = "before_load"


def prepare(client: elasticsearch.Elasticsearch, alias: str) -> str:
    """Give the one concrete index behind an alias; create both, with the mapping, where there is none.

    :raises ElasticsearchRefusedError: the name belongs to a concrete index, or the alias to several
    :raises ElasticsearchUnavailableError: Elasticsearch does not answer
    """
    with connection.explained(client):
        return _behind(client, alias) or _create(client, alias)


def _behind(client: elasticsearch.Elasticsearch, alias: str) -> str | None:
    try:
        indices = sorted(client.indices.get_alias(name=alias))
    except elasticsearch.NotFoundError:
        if client.indices.exists(index=alias):
            raise ElasticsearchRefusedError(
                f"{alias} is an index of its own at {connection.shown(client)}, not an alias",
                "choose another name with INDEX=… or --index, or remove that index",
            ) from None
        return None
    if len(indices) > 1:
        raise ElasticsearchRefusedError(
            f"The alias {alias} at {connection.shown(client)} stands for several indices: {', '.join(indices)}",
            "leave it on one of them, or choose another name with INDEX=… or --index",
        )
    return str(indices[0])


def _create(client: elasticsearch.Elasticsearch, alias: str) -> str:
    index = f"{alias}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"
    client.indices.create(index=index, mappings=mapping(), aliases={alias: {}})
    first = min(client.indices.get_alias(name=alias))
    if first != index:
        # Another run created one at the same moment; both see the same two and keep the same one.
        client.indices.delete(index=index)
    return str(first)


@contextmanager
def tuned_for_first_load(client: elasticsearch.Elasticsearch, index: str, retry_for: float) -> Iterator[None]:
    """While an empty index is filled: no refresh, no replicas; afterwards the values that were there before.

    They are restored too when the block fails; when even that fails, or this program is killed, by the next run.
    """
    before = patiently(lambda: _tune(client, index), retry_for, f"{index} could not be prepared")
    if before is None:
        yield
        return
    try:
        yield
    except BaseException:
        try:
            _restore(client, index, before)
        except IngestError as error:
            _log.warning("The settings of %s are still those for a first load, the next run restores them. %s",
                         index, error)  # fmt: skip
        raise
    patiently(lambda: _restore(client, index, before), retry_for, f"The settings of {index} could not be restored")


def _tune(client: elasticsearch.Elasticsearch, index: str) -> dict[str, Any] | None:
    """Set what suits a first load, and give the settings to go back to; None: this is not one."""
    with connection.explained(client):
        before = _values_before_load(client, index)
        if before is not None:
            _remember(client, index, before)
            client.indices.put_settings(index=index, settings=_TUNED)
        return before


def _values_before_load(client: elasticsearch.Elasticsearch, index: str) -> dict[str, Any] | None:
    kept = _meta(client, index).get(_BEFORE)
    if kept is not None:
        return dict(kept)
    client.indices.refresh(index=index)
    if client.count(index=index)["count"]:
        return None
    settings = client.indices.get_settings(index=index, flat_settings=True)[index]["settings"]
    return {name: settings.get(f"index.{name}") for name in _TUNED}


def _meta(client: elasticsearch.Elasticsearch, index: str) -> dict[str, Any]:
    return dict(client.indices.get_mapping(index=index)[index]["mappings"].get("_meta", {}))


def _remember(client: elasticsearch.Elasticsearch, index: str, before: dict[str, Any] | None) -> None:
    meta = _meta(client, index)
    meta.pop(_BEFORE, None)
    client.indices.put_mapping(index=index, meta=meta if before is None else meta | {_BEFORE: before})


def _restore(client: elasticsearch.Elasticsearch, index: str, before: dict[str, Any]) -> None:
    with connection.explained(client):
        client.indices.put_settings(index=index, settings=before)
        _remember(client, index, None)


def count(client: elasticsearch.Elasticsearch, alias: str, retry_for: float) -> int:
    """How many documents a search sees from now on."""

    def refreshed() -> int:
        with connection.explained(client):
            client.indices.refresh(index=alias)
            return int(client.count(index=alias)["count"])

    return patiently(refreshed, retry_for, f"{alias} could not be counted")
