"""The index behind the alias: created up front with its mapping, tuned during a first load, put back afterwards."""

import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any

import elasticsearch

from ingest.errors import ElasticsearchRefusedError, IngestError, UsageError
from ingest.index import connection
from ingest.index.document import MAPPING_VERSION, mapping
from ingest.index.patience import LAST_WORDS, patiently

_log = logging.getLogger(__name__)

_TUNED = {"refresh_interval": "-1"}
"""Settings during a first load. The values that were there before are kept in the mapping's ``_meta``. Replicas stay: a
load without them is faster, but lost where a node is."""
_KEPT = ("number_of_shards", "auto_expand_replicas", "number_of_replicas", *_TUNED)
_BEFORE = "before_load"
_BUILT_ON = "built_on"
_AS_IT_COMES: Mapping[str, int] = MappingProxyType({})
_GIVEN_UP_AFTER = timedelta(days=1)


def prepare(client: elasticsearch.Elasticsearch, alias: str, shape: Mapping[str, int] = _AS_IT_COMES) -> str:
    """Give the one concrete index behind an alias; create both, with the mapping, where there is none.

    :param shape: settings of a new index; where one exists, it is told that they have no effect
    :raises ElasticsearchRefusedError: the name belongs to a concrete index, or the alias to several, or its index was
        made for other documents
    :raises ElasticsearchUnavailableError: Elasticsearch does not answer
    """
    with connection.explained(client):
        index = behind(client, alias)
        if index is None:
            return _create(client, alias, shape)
        version = mapping_version(client, index)
        if version != MAPPING_VERSION:
            found = "no version" if version is None else f"version {version}"
            raise ElasticsearchRefusedError(
                f"The mapping of {index} has {found}, this program writes version {MAPPING_VERSION}",
                f"build it anew from the repositories that it holds: make reindex INDEX={alias}",
            )
        _tell_of_other_shape(client, index, alias, shape)
        return index


def _tell_of_other_shape(client: elasticsearch.Elasticsearch, index: str, alias: str, shape: Mapping[str, int]) -> None:
    current = _current(client, index) if shape else {}
    for name, wanted in shape.items():
        found = current.get(f"index.{name}")
        if found != str(wanted):
            _log.warning(
                "%s exists, and its %s stays %s: %s is for a new index. To build one: make reindex INDEX=%s",
                index, name, found, wanted, alias,
            )  # fmt: skip


def mapping_version(client: elasticsearch.Elasticsearch, index: str) -> int | None:
    """The version of the mapping that an index was made with; None: it is not of this program's making.

    :raises IngestError: Elasticsearch does not answer
    """
    with connection.explained(client):
        version: int | None = _meta(client, index).get("mapping_version")
        return version


def behind(client: elasticsearch.Elasticsearch, alias: str) -> str | None:
    """The one concrete index behind an alias; None where there is none.

    :raises ElasticsearchRefusedError: the name belongs to a concrete index, or the alias to several
    :raises ElasticsearchUnavailableError: Elasticsearch does not answer
    """
    with connection.explained(client):
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


def check_exists(client: elasticsearch.Elasticsearch, alias: str) -> None:
    """See that there is an index behind an alias, for commands that make none.

    :raises UsageError: there is none
    :raises IngestError: as `behind` does
    """
    if behind(client, alias) is None:
        raise UsageError(f"{alias} does not exist", "load a repository first: make ingest REPO=…")


def _create(client: elasticsearch.Elasticsearch, alias: str, shape: Mapping[str, int]) -> str:
    index = new_name(alias)
    client.indices.create(index=index, mappings=mapping(), settings=dict(shape), aliases={alias: {}})
    first = min(client.indices.get_alias(name=alias))
    if first != index:
        # Another run created one at the same moment; both see the same two and keep the same one.
        client.indices.delete(index=index)
    return str(first)


def new_name(alias: str) -> str:
    """A name for a new index of an alias, later in order than all before it."""
    return f"{alias}-{datetime.now(UTC):%Y%m%d%H%M%S%f}"


def create_beside(
    client: elasticsearch.Elasticsearch,
    index: str,
    live: str | None,
    retry_for: float,
    shape: Mapping[str, int] = _AS_IT_COMES,
) -> None:
    """Make an index that nobody searches, because only an alias of its own, see `building`, stands for it.

    :param index: see `new_name`
    :param live: the index behind `alias`, from which shards, replicas and refresh interval are taken
    :param shape: settings that are given instead
    :raises IngestError: Elasticsearch does not do it
    """

    def create(client: elasticsearch.Elasticsearch) -> None:
        if client.indices.exists(index=index):
            # The answer to an earlier request was lost.
            return
        settings = {} if live is None else _settings(client, live)
        if "number_of_replicas" in shape:
            settings.pop("auto_expand_replicas", None)
        meta = {"_meta": {"mapping_version": MAPPING_VERSION, _BUILT_ON: socket.gethostname()}}
        client.indices.create(
            index=index,
            mappings=mapping() | meta,
            settings={**settings, **shape},
            aliases={building(index): {"is_hidden": True}},
        )

    patiently(client, create, retry_for, f"{index} could not be created")


def building(index: str) -> str:
    """The alias of an index that is being built."""
    return f"{index}-building"


def swap(client: elasticsearch.Elasticsearch, alias: str, live: str | None, index: str, retry_for: float) -> None:
    """Let the alias stand for another index, for everybody at the same moment.

    :raises ElasticsearchRefusedError: it no longer stands for `live`
    :raises IngestError: Elasticsearch does not do it
    """
    actions: list[dict[str, Any]] = [
        {"remove": {"index": index, "alias": building(index)}},
        {"add": {"index": index, "alias": alias}},
    ]
    if live is not None:
        actions.append({"remove": {"index": live, "alias": alias, "must_exist": True}})

    def swapped(client: elasticsearch.Elasticsearch) -> None:
        # The answer to an earlier request may have been lost.
        if behind(client, alias) != index:
            client.indices.update_aliases(actions=actions)

    patiently(client, swapped, retry_for, f"{alias} could not be moved to {index}")


def superseded(client: elasticsearch.Elasticsearch, alias: str, keep: int) -> list[str]:
    """The indices of an alias that nobody needs any more: previous ones but the newest, abandoned ones.

    One that a run on another machine may still be building is not among them for a day.

    :param keep: how many of the previous ones stay
    """
    pattern = re.compile(rf"{re.escape(alias)}-(\d{{20}})")
    previous, abandoned = [], []
    with connection.explained(client):
        for index, body in client.indices.get(index=f"{alias}-*", features=["aliases", "mappings"]).items():
            match = pattern.fullmatch(index)
            meta = body["mappings"].get("_meta", {})
            if match is None or "mapping_version" not in meta or body["aliases"].keys() - {building(index)}:
                continue
            if building(index) not in body["aliases"]:
                previous.append(index)
            elif meta.get(_BUILT_ON) == socket.gethostname() or _age(match[1]) > _GIVEN_UP_AFTER:
                abandoned.append(index)
    return sorted(previous)[: max(0, len(previous) - keep)] + abandoned


def versions(client: elasticsearch.Elasticsearch, alias: str) -> set[str]:
    """All indices of an alias: the one behind it, previous ones, and those being built.

    :raises IngestError: Elasticsearch does not answer
    """
    with connection.explained(client):
        return set(client.indices.get(index=f"{alias}-*", features="aliases"))


def _age(stamp: str) -> timedelta:
    return datetime.now(UTC) - datetime.strptime(stamp, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)


def remove(client: elasticsearch.Elasticsearch, indices: list[str]) -> None:
    """Delete indices, which may be gone already.

    :raises IngestError: Elasticsearch does not do it
    """
    if indices:
        with connection.explained(client):
            client.indices.delete(index=indices, ignore_unavailable=True)


@contextmanager
def tuned_for_first_load(client: elasticsearch.Elasticsearch, index: str, retry_for: float) -> Iterator[None]:
    """While an empty index is filled: no refresh; afterwards the value that was there before.

    They are restored too when the block fails; when even that fails, or this program is killed, by the next run.
    """
    before = patiently(client, partial(_tune, index), retry_for, f"{index} could not be prepared")
    if before is None:
        yield
        return
    try:
        yield
    except BaseException:
        try:
            last_words = client.options(request_timeout=LAST_WORDS)
            with connection.explained(last_words):
                _restore(index, before, last_words)
        except IngestError as error:
            _log.warning("The settings of %s are still those for a first load, the next run restores them. %s",
                         index, error)  # fmt: skip
        raise
    patiently(client, partial(_restore, index, before), retry_for, f"The settings of {index} could not be restored")


def _tune(index: str, client: elasticsearch.Elasticsearch) -> dict[str, Any] | None:
    """Set what suits a first load, and give the settings to go back to; None: this is not one."""
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
    answer = client.count(index=index)
    if answer["count"] or answer["_shards"]["failed"]:
        return None
    current = _current(client, index)
    return {name: current.get(f"index.{name}") for name in _TUNED}


def _settings(client: elasticsearch.Elasticsearch, index: str) -> dict[str, Any]:
    """What a user may have set, as it was before a load that was killed."""
    before = _meta(client, index).get(_BEFORE, {})
    current = _current(client, index)
    found = {name: before.get(name, current.get(f"index.{name}")) for name in _KEPT}
    return {name: value for name, value in found.items() if value is not None}


def _current(client: elasticsearch.Elasticsearch, index: str) -> dict[str, Any]:
    return dict(client.indices.get_settings(index=index, flat_settings=True)[index]["settings"])


def _meta(client: elasticsearch.Elasticsearch, index: str) -> dict[str, Any]:
    return dict(client.indices.get_mapping(index=index)[index]["mappings"].get("_meta", {}))


def _remember(client: elasticsearch.Elasticsearch, index: str, before: dict[str, Any] | None) -> None:
    meta = _meta(client, index)
    meta.pop(_BEFORE, None)
    client.indices.put_mapping(index=index, meta=meta if before is None else meta | {_BEFORE: before})


def _restore(index: str, before: dict[str, Any], client: elasticsearch.Elasticsearch) -> None:
    client.indices.put_settings(index=index, settings=before)
    _remember(client, index, None)


def count(client: elasticsearch.Elasticsearch, alias: str, retry_for: float) -> int:
    """How many documents a search sees from now on."""

    def refreshed(client: elasticsearch.Elasticsearch) -> int:
        client.indices.refresh(index=alias)
        return int(client.count(index=alias)["count"])

    return patiently(client, refreshed, retry_for, f"{alias} could not be counted")
