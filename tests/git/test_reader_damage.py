"""Repositories in which objects are missing or damaged."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pytest

from ingest.errors import RepositoryRefusedError
from ingest.git import command
from ingest.git.reader import Source, Unreadable, read
from tests.git.items import ORIGIN, Item, perceval, render
from tests.git.repositories import Entry, History, git, hashes, text


def line(length: int, merges: bool = True) -> History:
    """A history in which each commit changes one file of two; every tenth is a merge that changes none."""
    history = History()
    tree: dict[str, Entry | bytes] = {"still": text("still"), "dir/a": text("a", changed=[0])}
    last = history.commit(tree)
    for number in range(1, length):
        if merges and number % 10 == 0:
            side = history.commit(tree | {"still": text("still", changed=[number % 20])}, [last])
            last = history.commit(tree, [last, side])
        else:
            tree["dir/a"] = text("a", changed=[number % 20]) + b"%d\n" % number
            last = history.commit(tree, [last])
    return history


def read_all(mirror: Path, names: list[str]) -> tuple[dict[str, Item], dict[str, str], dict[str, str]]:
    """Whole items, those without diff and why, and the unreadable ones and why; each commit exactly once."""
    whole: dict[str, Item] = {}
    partial: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for result in read(Source(mirror, ORIGIN), names, render, workers=1):
        if isinstance(result, Unreadable):
            unreadable[result.hash] = result.reason
        else:
            item, problem = result
            if problem is None:
                whole[item["data"]["commit"]] = item
            else:
                assert item["data"]["files"] == []
                partial[item["data"]["commit"]] = problem
    assert sorted([*whole, *partial, *unreadable]) == sorted(names)
    return whole, partial, unreadable


def object_file(mirror: Path, name: str) -> Path:
    return mirror / "objects" / name[:2] / name[2:]


def loose(history: History, tmp_path: Path) -> Path:
    mirror = history.build(tmp_path / "mirror.git")
    for pack in (mirror / "objects/pack").glob("*.pack"):
        pack.rename(tmp_path / "pack")
        pack.with_suffix(".idx").unlink()
        git(mirror, "unpack-objects", "-q", given=(tmp_path / "pack").read_bytes())
    return mirror


def partial_clone(origin: Path, kept_out: str) -> Path:
    git(origin, "config", "uploadpack.allowFilter", "true")
    mirror = origin.with_name("partial.git")
    git(origin, "clone", "--quiet", "--bare", f"--filter={kept_out}", f"file://{origin}", str(mirror))
    return mirror


@pytest.fixture
def count_git(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many times git was started."""
    started = []
    start = command._start

    def counted(mirror: Path, arguments: Sequence[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
        started.append(arguments)
        return start(mirror, arguments, complaints)

    monkeypatch.setattr(command, "_start", counted)
    return lambda: len(started)


@pytest.mark.parametrize("damage", ["missing", "cut short", "garbled"])
def test_commits_whose_diff_needs_a_damaged_file_come_without_diff(damage: str, tmp_path: Path) -> None:
    mirror = loose(line(60), tmp_path)
    expected, names = perceval(mirror), hashes(mirror)
    blob = git(mirror, "rev-parse", f"{names[30]}:dir/a").strip()
    path = object_file(mirror, blob)
    path.chmod(0o644)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if damage == "cut short" else b"garbage")
    users = [name for name in names if blob in git(mirror, "diff-tree", "--root", "-r", "-m", name)]

    whole, partial, unreadable = read_all(mirror, names)

    assert not unreadable
    assert names[30] in partial
    assert set(partial) <= set(users)
    assert whole == {name: item for name, item in expected.items() if name not in partial}
    assert all(problem.startswith("unreadable diff: ") for problem in partial.values())
    assert blob in partial[names[30]]


def test_commits_whose_diff_needs_a_missing_tree_come_without_diff(tmp_path: Path) -> None:
    mirror = loose(line(40, merges=False), tmp_path)
    expected, names = perceval(mirror), hashes(mirror)
    for revision in (f"{names[10]}^{{tree}}", f"{names[20]}:dir"):
        object_file(mirror, git(mirror, "rev-parse", revision).strip()).unlink()

    whole, partial, unreadable = read_all(mirror, names)

    assert not unreadable
    assert set(partial) == {names[10], names[11], names[20], names[21]}
    assert whole == {name: item for name, item in expected.items() if name not in partial}


@pytest.mark.parametrize("damage", ["missing", "garbled"])
def test_a_damaged_commit_is_reported_and_its_child_comes_without_diff(damage: str, tmp_path: Path) -> None:
    mirror = loose(line(40, merges=False), tmp_path)
    expected, names = perceval(mirror), hashes(mirror)
    path = object_file(mirror, names[20])
    path.chmod(0o644)
    path.unlink() if damage == "missing" else path.write_bytes(b"garbage")

    whole, partial, unreadable = read_all(mirror, names)

    assert unreadable == {names[20]: "the commit is missing or damaged"}
    assert set(partial) == {names[21]}
    assert whole == {name: item for name, item in expected.items() if name not in {names[20], names[21]}}


def test_commits_none_of_which_exists_are_all_reported(tmp_path: Path) -> None:
    mirror = line(3).build(tmp_path / "mirror.git")
    nowhere = ["1" * 40, "2" * 40]
    assert read_all(mirror, nowhere)[2] == dict.fromkeys(nowhere, "the commit is missing or damaged")


@pytest.mark.parametrize("kept_out", ["blob:none", "tree:0"])
def test_a_partial_clone_is_read_as_far_as_it_goes_without_a_git_for_each_commit(
    kept_out: str, tmp_path: Path, count_git: Callable[[], int]
) -> None:
    origin = line(300).build(tmp_path / "origin.git")
    expected, mirror = perceval(origin), partial_clone(origin, kept_out)
    names = hashes(mirror)
    stored = git(mirror, "count-objects", "-v")

    whole, _, unreadable = read_all(mirror, names)

    assert not unreadable
    if kept_out == "tree:0":
        assert not whole
    else:
        # For the merges, which leave their first parent as it is, no file is read.
        assert len(whole) == 29
        assert whole == {name: item for name, item in expected.items() if name in whole}
    assert count_git() < 60
    assert git(mirror, "count-objects", "-v") == stored


def test_where_the_mailmap_cannot_be_read_names_stay_as_they_are(tmp_path: Path) -> None:
    history = History()
    tree = {".mailmap": b"Another <author@example.org>\n"}
    history.commit(tree, [history.commit(tree)])
    origin = history.build(tmp_path / "origin.git")
    git(origin, "symbolic-ref", "HEAD", "refs/heads/tip-2")
    mirror = partial_clone(origin, "blob:none")
    names = hashes(mirror)

    whole, partial, _ = read_all(mirror, names)

    assert (list(whole), list(partial)) == (names[1:], names[:1])
    assert whole[names[1]]["data"]["Author"] == "A U Thor <author@example.org>"
    assert perceval(origin)[names[1]]["data"]["Author"] == "Another <author@example.org>"


def test_the_boundary_of_a_shallow_clone_is_read(tmp_path: Path) -> None:
    origin = line(50).build(tmp_path / "origin.git")
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=20", f"file://{origin}", str(mirror))
    names = hashes(mirror)
    whole, partial, unreadable = read_all(mirror, names)
    assert whole == perceval(mirror)
    assert (partial, unreadable) == ({}, {})


def test_a_folder_that_is_no_repository_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mirror.git").mkdir()
    with pytest.raises(RepositoryRefusedError, match="not a git repository"):
        read_all(tmp_path / "mirror.git", ["1" * 40])
    with pytest.raises(RepositoryRefusedError, match="No such file or directory"):
        read_all(tmp_path / "nowhere.git", ["1" * 40])
