"""What the reader gives is what Perceval gives."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.git.items import ours, perceval
from tests.git.repositories import (
    EXECUTABLE,
    FILE,
    HARD_CASES,
    LINK,
    SUBMODULE,
    Entry,
    History,
    Tree,
    hashes,
    text,
)


@pytest.mark.parametrize("make", HARD_CASES.values(), ids=HARD_CASES.keys())
def test_items_are_percevals(make: Callable[[], History], tmp_path: Path) -> None:
    mirror = make().build(tmp_path / "mirror.git")
    expected = perceval(mirror)
    assert len(expected) == len(hashes(mirror))
    assert ours(mirror) == expected


PATHS = ("a", "b", "c", "d/a", "d/b", "d/e/a", "z")
CHANGES = ((), (1,), (1, 2), (0, 3, 5), (1, 2, 4, 6))
ENTRIES = (
    *(Entry(FILE, text(name, 8, changed)) for name in "pqr" for changed in CHANGES),
    *(Entry(EXECUTABLE, text("p", 8, changed)) for changed in CHANGES[:2]),
    *(Entry(LINK, name) for name in (b"p", b"q")),
    *(Entry(SUBMODULE, name) for name in (b"p", b"q")),
    Entry(FILE, b""),
)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Histories with many merges, and files alike enough for git to see renames and copies everywhere."""
    history = History()
    trees: list[Tree] = []
    for number in range(1, draw(st.integers(4, 14))):
        count = draw(st.sampled_from([0, 1, 1, 2, 2, 2, 2, 3]))
        earlier = st.integers(1, max(number - 1, 1))
        parents = draw(st.lists(earlier, min_size=count, max_size=count, unique=True)) if number > count else []
        tree = {path: entry for parent in reversed(parents) for path, entry in trees[parent - 1].items()}
        # Half of the commits change only the content of files that all parents have: most merges do.
        shared = sorted(set.intersection(*(set(trees[parent - 1]) for parent in parents))) if parents else []
        ordinary = bool(shared) and draw(st.booleans())
        paths, entries = (shared, ENTRIES[:10]) if ordinary else (PATHS, (*ENTRIES, *[None] * 4))
        for path in draw(st.lists(st.sampled_from(paths), max_size=5 if parents else 7, unique=True)):
            entry = draw(st.sampled_from(entries))
            tree.pop(path, None)
            if entry is not None:
                tree[path] = entry
        trees.append(tree)
        history.commit(tree, parents)
    return history


@settings(
    max_examples=400 if "CI" in os.environ else 80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=histories())
def test_items_are_percevals_in_random_histories(history: History, tmp_path_factory: pytest.TempPathFactory) -> None:
    mirror = history.build(tmp_path_factory.mktemp("random") / "mirror.git")
    assert ours(mirror) == perceval(mirror)
