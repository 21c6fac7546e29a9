"""Nodes in folders of their own, with small heaps; none outlives its test."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import pytest

from ingest.node import Node
from tests.node_cache import node_cache

T = TypeVar("T")

# A server that lives for seconds never earns back what the optimizing compiler costs: this halves its start.
JVM_OPTIONS = ("-XX:TieredStopAtLevel=1",)


def small_node(
    home: Path, *, config: Mapping[str, str] = MappingProxyType({}), say: Callable[[str], None] = print
) -> Node:
    """Return a node that starts fast and shares its programs with all tests."""
    return Node(home, heap="256m", config=config, say=say, cache=node_cache(), jvm_options=JVM_OPTIONS)


@pytest.fixture
def home() -> Iterator[Path]:
    """Give an empty INGEST_HOME, private to its owner, under a folder open to all (pytest's own is not)."""
    with tempfile.TemporaryDirectory(prefix="ingest-node-") as folder:
        yield Path(folder)
        Node(Path(folder)).stop()


def wait_for(event: Callable[[], T], seconds: float = 60) -> T:
    """Return the first true value of ``event``."""
    deadline = time.monotonic() + seconds
    while not (value := event()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value
