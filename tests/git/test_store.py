"""What git was asked once is not asked again, and is the same."""

import logging
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.git import store as store_module
from ingest.git.batch import Batch, unpacked
from ingest.git.commits import Source, Unreadable
from ingest.git.decorations import decorations
from ingest.git.grounds import opened
from ingest.git.reader import read
from ingest.git.store import Store, path_of, size_of
from tests.conftest import Run
from tests.git.items import ORIGIN, Item, perceval, render
from tests.git.repositories import HARD_CASES, History, git, hashes
from tests.git.test_reader_damage import line, loose, object_file
from tests.repository import linear, of_every_kind, recording_git

LIMIT = 1 << 30
COMMITS = 329


def take(
    mirror: Path, names: list[str], store: Store | None, refs: dict[str, str], workers: int = 1
) -> dict[str, Item | str]:
    """The items of these commits, or why one is not whole; each commit exactly once."""
    found: dict[str, Item | str] = {}
    results = read(Source(mirror, ORIGIN), names, render, workers=workers, store=store, decorations=refs)
    for result in results:
        commit = result.hash if isinstance(result, Unreadable) else result[0]["data"]["commit"]
        assert commit not in found
        found[commit] = result.reason if isinstance(result, Unreadable) else result[1] or result[0]
    assert sorted(found) == sorted(names)
    return found


def take_with_store(mirror: Path, workers: int = 1) -> dict[str, Item | str]:
    """All items of a mirror, as a run reads them."""
    with opened(mirror, LIMIT) as store:
        return take(mirror, hashes(mirror), store, decorations(mirror), workers)


def take_without_git(mirror: Path, names: list[str], refs: dict[str, str], workers: int = 1) -> dict[str, Item | str]:
    """All items of a mirror that is away meanwhile, so that git cannot even be started in it."""
    away = mirror.rename(mirror.with_name("away"))
    try:
        with Store(path_of(mirror), LIMIT) as store:
            return take(mirror, names, store, refs, workers)
    finally:
        away.rename(mirror)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return line(300).build(tmp_path / "mirror.git")


@pytest.mark.parametrize("make", HARD_CASES.values(), ids=HARD_CASES.keys())
def test_items_that_were_kept_are_percevals_and_git_is_not_asked(make: Callable[[], History], tmp_path: Path) -> None:
    mirror = make().build(tmp_path / "mirror.git")
    expected, names, refs = perceval(mirror), hashes(mirror), decorations(mirror)
    assert take_with_store(mirror) == expected
    assert take_without_git(mirror, names, refs) == expected


def test_items_with_undecodable_text_and_odd_dates_are_kept(tmp_path: Path) -> None:
    repository = of_every_kind(tmp_path / "repository")
    mirror = repository.path / ".git"
    names, refs = hashes(mirror), decorations(mirror)
    expected = take(mirror, names, None, {})
    assert any("\\udce9" in repr(item) for item in expected.values())
    assert take_with_store(mirror) == expected
    assert take_without_git(mirror, names, refs) == expected


def test_items_of_a_sha256_repository_are_kept(tmp_path: Path) -> None:
    history = HARD_CASES["criss-cross merges"]()
    history.hash_digits = 64
    mirror = history.build(tmp_path / "mirror.git")
    names, refs, first = hashes(mirror), decorations(mirror), take_with_store(mirror)
    assert {len(name) for name in first} == {64}
    assert take_without_git(mirror, names, refs) == first


def test_workers_keep_and_take_the_same_as_this_process(tmp_path: Path) -> None:
    repository = linear(tmp_path / "repository", 5_000)
    mirror = repository.path / ".git"
    names, refs = hashes(mirror), decorations(mirror)
    expected = take(mirror, names, None, {})
    assert take_with_store(mirror, workers=2) == expected
    assert take_without_git(mirror, names, refs, workers=2) == expected


def test_only_what_is_new_is_asked_of_git(tmp_path: Path) -> None:
    repository = linear(tmp_path / "repository", 50)
    mirror = repository.path / ".git"
    take_with_store(mirror)
    old = repository.hashes()
    repository.commit("New", {"new.txt": "x\n"})
    items = take_with_store(mirror)
    assert items == perceval(mirror)
    assert items.keys() - old == {repository.head()}
    with Store(path_of(mirror), LIMIT) as store:
        batches, _ = store.take(hashes(mirror))
    assert [batch.hashes for batch in batches if len(batch.hashes) == 1] == [(repository.head(),)]


def test_refs_are_those_of_now(mirror: Path) -> None:
    take_with_store(mirror)
    names = hashes(mirror)
    git(mirror, "tag", "new,tag", names[7])
    git(mirror, "update-ref", "refs/heads/other", names[9])
    git(mirror, "symbolic-ref", "HEAD", "refs/heads/other")
    expected, refs = perceval(mirror), decorations(mirror)
    assert expected[names[7]]["data"]["refs"] == ["tag: refs/tags/new", "tag"]
    assert take_without_git(mirror, names, refs) == expected


def test_another_origin_and_tag_are_given_to_items_that_were_kept(mirror: Path) -> None:
    take_with_store(mirror)
    source, names, refs = Source(mirror, "https://example.org/moved.git", "label"), hashes(mirror), decorations(mirror)
    expected = [item for item, _ in read(source, names, render, workers=1) if isinstance(item, dict)]
    with Store(path_of(mirror), LIMIT) as store:
        results = read(source, names, render, workers=1, store=store, decorations=refs)
        assert [item for item, _ in results if isinstance(item, dict)] == expected
    assert {(item["origin"], item["tag"]) for item in expected} == {("https://example.org/moved.git", "label")}


def test_what_is_not_whole_is_not_kept(tmp_path: Path) -> None:
    mirror = loose(line(40, merges=False), tmp_path)
    expected, names = perceval(mirror), hashes(mirror)
    lost, blob = (
        object_file(mirror, names[20]),
        object_file(mirror, git(mirror, "rev-parse", f"{names[30]}:dir/a").strip()),
    )
    for path in (lost, blob):
        path.rename(tmp_path / path.name)

    with opened(mirror, LIMIT) as store:
        first = take(mirror, names, store, {})
        assert sorted(name for name, value in first.items() if isinstance(value, str)) == sorted(
            [names[20], names[21], names[30], names[31]]
        )
        for path in (lost, blob):
            (tmp_path / path.name).rename(path)
        second = take(mirror, names, store, decorations(mirror))
    assert second == expected


def test_a_changed_mailmap_is_a_reason_to_ask_git_again(tmp_path: Path) -> None:
    repository = linear(tmp_path / "repository", 3)
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository.path), str(mirror))
    take_with_store(mirror)
    repository.commit("Mailmap", {".mailmap": "Countess <countess@example.org> <ada@example.org>\n"})
    git(mirror, "fetch", "--quiet", "origin", "main:main")
    expected = perceval(mirror)
    assert {item["data"]["Author"] for item in expected.values()} == {"Countess <countess@example.org>"}
    assert take_with_store(mirror) == expected


def test_a_deepened_history_is_a_reason_to_ask_git_again(tmp_path: Path) -> None:
    origin = linear(tmp_path / "origin", 30)
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=5", f"file://{origin.path}", str(mirror))
    shallow = take_with_store(mirror)
    assert shallow == perceval(mirror)
    git(mirror, "fetch", "--quiet", "--unshallow")
    deep = take_with_store(mirror)
    assert deep == perceval(mirror)
    assert [name for name, item in shallow.items() if item != deep[name]] == [hashes(mirror)[25]]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    path.write_bytes(b"garbage " * 4096)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero_the_middle(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 8192) + content[-4096:])


def drop_a_table(path: Path) -> None:
    alter(path, "DROP TABLE commits")


def cut_the_batches_short(path: Path) -> None:
    alter(path, "UPDATE batches SET data = substr(data, 1, 100)")


def make_the_batches_text(path: Path) -> None:
    alter(path, "UPDATE batches SET data = 'text'")


def delete_the_batches(path: Path) -> None:
    alter(path, "DELETE FROM batches")


def mix_the_commits_up(path: Path) -> None:
    alter(path, "UPDATE commits SET batch = batch % (SELECT max(id) FROM batches) + 1")


def confuse_the_numbers(path: Path) -> None:
    alter(path, "UPDATE commits SET batch = 'one'")


def flip_a_byte_of_each_batch(path: Path) -> None:
    with sqlite3.connect(path) as db:
        batches = db.execute("SELECT id, data FROM batches").fetchall()
        for number, data in batches:
            middle = len(data) // 2
            flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            db.execute("UPDATE batches SET data = ? WHERE id = ?", (flipped, number))
    db.close()


def pretend_a_later_version(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # https://www.sqlite.org/fileformat.html: the version that is needed to write.
    content[18] = 9
    path.write_bytes(content)


def alter(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    "damage",
    [truncate, garble, empty, zero_the_middle, drop_a_table, cut_the_batches_short, make_the_batches_text,
     delete_the_batches, mix_the_commits_up, confuse_the_numbers, pretend_a_later_version, flip_a_byte_of_each_batch],
)  # fmt: skip
def test_a_damaged_store_changes_no_item_and_is_healed(damage: Callable[[Path], None], mirror: Path) -> None:
    expected, names, refs = perceval(mirror), hashes(mirror), decorations(mirror)
    take_with_store(mirror)
    damage(path_of(mirror))
    assert take_with_store(mirror) == expected
    with opened(mirror, LIMIT) as store:
        assert sorted(commit for batch in store.take(names)[0] for commit in batch.hashes) == sorted(names)
    assert take_without_git(mirror, names, refs) == expected


def test_a_flipped_byte_anywhere_changes_no_item_and_raises_nothing(tmp_path: Path) -> None:
    mirror = HARD_CASES["criss-cross merges"]().build(tmp_path / "mirror.git")
    names, refs = hashes(mirror), decorations(mirror)
    expected = take_with_store(mirror)
    whole = path_of(mirror).read_bytes()
    dice = random.Random(1)
    written = [position for position, byte in enumerate(whole) if byte]
    for position in dice.sample(written, 60):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << dice.randrange(8)
        path_of(mirror).write_bytes(flipped)
        with Store(path_of(mirror), LIMIT) as store:
            assert take(mirror, names, store, refs) == expected


def test_a_damaged_file_is_reported_once(mirror: Path, caplog: pytest.LogCaptureFixture) -> None:
    take_with_store(mirror)
    garble(path_of(mirror))
    caplog.clear()
    take_with_store(mirror)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path_of(mirror)} is damaged: it is begun again, and its items are read from git"
    ]


def test_items_of_another_version_are_discarded(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_with_store(mirror)
    monkeypatch.setattr(store_module, "_VERSIONS", "another")
    with Store(path_of(mirror), LIMIT) as store:
        assert store.take(hashes(mirror)) == ([], COMMITS)
        assert store.grounds == ""


def test_a_store_forgets_what_it_is_told_to_and_remembers_its_grounds(tmp_path: Path) -> None:
    path = tmp_path / "items"
    first, second = batch(0, 3), batch(3, 6)
    with Store(path, LIMIT) as store:
        assert store.grounds == ""
        store.grounds = "a reason"
        store.add(first)
        store.add(second)
    with Store(path, LIMIT) as store:
        assert store.grounds == "a reason"
        store.discard([first.hashes[0], *second.hashes, name(99)])
        kept, count = store.take([*first.hashes, *second.hashes])
        assert [(each.hashes, each.data) for each in kept] == [(first.hashes[1:], first.data)]
        assert count == 6
        store.drop([kept[0].id])
        assert store.take(first.hashes) == ([], 3)
        store.add(first)
        store.clear()
        assert store.take(first.hashes) == ([], 3)
        assert store.grounds == ""


def test_of_a_commit_kept_twice_the_later_item_counts(mirror: Path) -> None:
    """A batch that serves for other commits still holds the item that was discarded."""
    names, refs = hashes(mirror), decorations(mirror)
    expected = take_with_store(mirror)
    with Store(path_of(mirror), LIMIT) as store:
        (old, *_), _ = store.take(names)
        store.discard(old.hashes[:1])
        assert old.hashes[0] in [item["commit"] for item in unpacked(old.data)]
        first = take(mirror, names, store, refs)
        kept, _ = store.take(names)
    assert first == expected
    assert [each.hashes for each in kept if old.hashes[0] in each.hashes] == [old.hashes[:1]]


def name(number: int) -> str:
    return f"{number:040x}"


def batch(first: int, end: int, size: int = 10) -> Batch:
    """A batch of made-up commits that cannot be compressed."""
    return Batch(tuple(name(number) for number in range(first, end)), random.Random(first).randbytes(size))


def test_a_file_stays_within_its_limit_and_serves_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "mirror.git.items"
    limit = 1 << 20
    batches = [batch(number, number + 10, 10_000) for number in range(0, 2_000, 10)]
    with Store(path, limit) as store:
        for each in batches:
            store.add(each)
        assert not store.keeps
        names = [commit for each in batches for commit in each.hashes]
        kept, count = store.take(names)
        assert count == 2_000
        assert [(each.hashes, each.data) for each in kept] == batches[: len(kept)]
        assert 80 < len(kept) < 105
    assert size_of(tmp_path / "mirror.git") == path.stat().st_size <= limit
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} has grown to its limit (--items-bytes): no more items are kept"
    ]


def test_room_that_was_given_up_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "items"
    batches = [batch(number, number + 10, 10_000) for number in range(0, 500, 10)]
    with Store(path, LIMIT) as store:
        for each in batches:
            store.add(each)
    size = path.stat().st_size
    with Store(path, size) as store:
        store.discard([commit for each in batches[10:] for commit in each.hashes])
        for each in batches[10:40]:
            store.add(each)
        assert store.keeps
        assert len(store.take([commit for each in batches for commit in each.hashes])[0]) == 40
    assert path.stat().st_size == size


def test_a_limit_of_nothing_removes_the_file(mirror: Path) -> None:
    expected = take_with_store(mirror)
    assert size_of(mirror) > 0
    with opened(mirror, 0) as store:
        assert not store.keeps
        assert take(mirror, hashes(mirror), store, {}) == expected
    assert not path_of(mirror).exists()
    assert size_of(mirror) == 0


def test_a_store_is_private_and_leaves_one_file(mirror: Path) -> None:
    take_with_store(mirror)
    assert path_of(mirror).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in mirror.parent.iterdir()) == ["mirror.git", "mirror.git.items"]


def test_so_much_is_taken_at_once_and_the_rest_later(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, refs = hashes(mirror), decorations(mirror)
    expected = take_with_store(mirror)
    monkeypatch.setattr(store_module, "_MOST_BYTES_AT_ONCE", 1)
    with Store(path_of(mirror), LIMIT) as store:
        kept, count = store.take(names)
        assert [each.hashes for each in kept] == [tuple(names[:count])]
    assert count == 128
    assert take_without_git(mirror, names, refs) == expected


ADDING = """
import sys
from pathlib import Path
from ingest.git.store import Store
from tests.git.test_store import batch
with Store(Path(sys.argv[1]), 1 << 30) as store:
    for number in range(0, 10_000_000, 128):
        store.add(batch(number, number + 128, 20_000))
        print(number, flush=True)
"""


@pytest.fixture
def killed_while_adding(tmp_path: Path) -> tuple[Path, int]:
    """A store, and how many commits were added to it."""
    path = tmp_path / "items"
    with subprocess.Popen(
        [sys.executable, "-c", ADDING, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        for added in process.stdout:
            if int(added) >= 40_000:
                process.send_signal(signal.SIGKILL)
                break
    return path, int(added)


def test_what_a_killed_run_had_kept_but_for_the_last_serves(
    killed_while_adding: tuple[Path, int], caplog: pytest.LogCaptureFixture
) -> None:
    path, added = killed_while_adding
    names = [name(number) for number in range(added + 128)]
    with Store(path, LIMIT) as store:
        found = 0
        while found < len(names):
            kept, _ = store.take(names[found:])
            if not kept:
                break
            for each in kept:
                assert each.data == batch(int(each.hashes[0], 16), 0, 20_000).data
            found += sum(len(each.hashes) for each in kept)
        assert found == len(names) // 8192 * 8192 >= 32_768
        store.add(batch(found, found + 128))
        assert len(store.take(names[found : found + 128])[0]) == 1
    assert caplog.records == []


READING_WITH_A_LIMIT = """
import logging, resource, sys
from pathlib import Path
logging.basicConfig(format="%(message)s")
from tests.git.test_store import COMMITS, take_with_store
mirror = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
assert len(take_with_store(mirror)) == COMMITS
"""


def test_a_full_disk_is_reported_once_and_everything_read(mirror: Path) -> None:
    expected = perceval(mirror)
    done = subprocess.run(
        [sys.executable, "-c", READING_WITH_A_LIMIT, str(mirror)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [
            f"{path_of(mirror)} cannot be used (disk I/O error): no items are kept in this run. "
            "Make room, or do without: --items-bytes 0"
        ],
    )
    assert take_with_store(mirror) == expected


def test_a_place_where_no_file_can_be_is_reported(mirror: Path, caplog: pytest.LogCaptureFixture) -> None:
    path_of(mirror).mkdir()
    assert take_with_store(mirror) == perceval(mirror)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        f"{path_of(mirror)} cannot be used (unable to open database file)"
    ]


def test_the_second_load_asks_git_for_no_log_and_indexes_the_same(
    tmp_path: Path, ingest: Run, home: Path, alias: str
) -> None:
    repository = of_every_kind(tmp_path / "repository")
    path, recorded = recording_git(tmp_path)
    assert ingest("load", repository.path, PATH=path).returncode == 0
    assert "--numstat" in recorded.read_text()
    recorded.unlink()
    done = ingest("load", repository.path, PATH=path, INGEST_INDEX=f"{alias}-again")
    assert done.stdout.startswith(f"{len(repository.hashes())} commits indexed, 0 rejected")
    assert "--numstat" not in recorded.read_text()
