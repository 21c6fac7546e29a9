"""Perceval's items and ours, to be compared."""

from pathlib import Path
from typing import Any, Final

from perceval.backends.core.git import Git

from ingest.git.reader import Source, Unreadable, read
from tests.git.repositories import hashes

ORIGIN: Final = "https://example.org/project.git"
Item = dict[str, Any]


def without_timestamp(item: Item) -> Item:
    return {key: value for key, value in item.items() if key != "timestamp"}


def render(item: Item, problem: str | None) -> tuple[Item, str | None]:
    return without_timestamp(item), problem


def perceval(path: Path) -> dict[str, Item]:
    items = Git(uri=ORIGIN, gitpath=str(path)).fetch(no_update=True)
    return {item["data"]["commit"]: without_timestamp(item) for item in items}


def ours(path: Path, workers: int = 1) -> dict[str, Item]:
    items: dict[str, Item] = {}
    for result in read(Source(path, ORIGIN), hashes(path), render, workers=workers):
        assert not isinstance(result, Unreadable)
        item, problem = result
        assert problem is None
        assert item["data"]["commit"] not in items
        items[item["data"]["commit"]] = item
    return items
