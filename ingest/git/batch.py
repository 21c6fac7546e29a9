"""Items of some commits as they are kept: compressed lines of JSON, without what changes or is made again."""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

# Level 6 takes two and a half times as long, for a sixth less.
_LEVEL: Final = 1


class DamagedError(Exception):
    """A batch is not what was written."""


class Batch(NamedTuple):
    """Items to be kept.

    ``hashes``: the commits, in the order of their lines.
    ``data``: what `packed` made of them.
    """

    hashes: tuple[str, ...]
    data: bytes


class Kept(NamedTuple):
    """A batch that was kept.

    ``id``: the store's number for it.
    ``hashes``: the commits that are to be taken from it; others in it may be out of date.
    """

    id: int
    data: bytes
    hashes: tuple[str, ...]


def line(data: Mapping[str, Any]) -> bytes:
    """The ``data`` of Perceval's item as a line of JSON, without ``refs``: they change, and the commit does not."""
    kept = {name: value for name, value in data.items() if name != "refs"}
    try:
        return orjson.dumps(kept)
    except orjson.JSONEncodeError:
        # The surrogates in which Python keeps undecodable bytes; they go in escapes.
        return json.dumps(kept).encode("ascii")


def packed(lines: Iterable[bytes]) -> bytes:
    """Lines in a form that shows damage: zlib's, which ends with a checksum."""
    return zlib.compress(b"\n".join(lines), _LEVEL)


def unpacked(data: bytes) -> Iterator[dict[str, Any]]:
    """The ``data`` of each item of a batch, with empty ``refs``.

    :raises DamagedError: before the first or later
    """
    try:
        for each in zlib.decompress(data).split(b"\n"):
            item = _parsed(each)
            yield {"commit": item["commit"], "parents": item["parents"], "refs": [], **item}
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise DamagedError from error


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
