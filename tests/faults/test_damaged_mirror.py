"""A mirror that a power cut, a full disk or a killed git has left in a bad state."""

import os
from collections.abc import Callable
from pathlib import Path

import elasticsearch
import orjson
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from tests.conftest import Run
from tests.documents import assert_equal_to_perceval, hashes
from tests.repository import Repository
from tests.test_errors import one_line
from tests.test_reindex import behind


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "repository")
    for number in range(20):
        repository.commit(f"Change {number}", {"a.txt": f"{number}\n" * 50, "same.txt": "same\n"})
    repository.git("tag", "v1")
    return repository


def pack(place: Path) -> Path:
    (found,) = (place / "objects" / "pack").glob("*.pack")
    found.chmod(0o600)
    return found


def cut_the_pack_short(place: Path) -> None:
    os.truncate(pack(place), 200)


def zero_the_pack(place: Path) -> None:
    found = pack(place)
    found.write_bytes(bytes(found.stat().st_size))


def remove_the_pack(place: Path) -> None:
    pack(place).unlink()


def remove_the_index_of_the_pack(place: Path) -> None:
    next((place / "objects" / "pack").glob("*.idx")).unlink()


def empty_head(place: Path) -> None:
    (place / "HEAD").write_bytes(b"")


def garble_head(place: Path) -> None:
    (place / "HEAD").write_bytes(bytes(41))


def garble_packed_refs(place: Path) -> None:
    (place / "packed-refs").write_bytes(bytes(100))


def empty_a_ref(place: Path) -> None:
    (place / "refs" / "heads" / "main").write_bytes(b"")


def lose_a_refs_commit(place: Path) -> None:
    (place / "refs" / "heads" / "main").write_text("0123456789" * 4 + "\n")


def garble_the_configuration(place: Path) -> None:
    (place / "config").write_bytes(b"[core\n\0")


def empty_the_configuration(place: Path) -> None:
    (place / "config").write_bytes(b"")


def empty_the_folder(place: Path) -> None:
    for path in sorted(place.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


DAMAGES = [
    cut_the_pack_short, zero_the_pack, remove_the_pack, remove_the_index_of_the_pack, empty_head, garble_head,
    garble_packed_refs, empty_a_ref, lose_a_refs_commit, garble_the_configuration, empty_the_configuration,
    empty_the_folder,
]  # fmt: skip


@pytest.mark.parametrize(
    "damage", [*DAMAGES[:2], *(pytest.param(each, marks=pytest.mark.slow) for each in DAMAGES[2:])]
)
@pytest.mark.parametrize("with_news", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_damaged_mirror_is_cloned_again(
    damage: Callable[[Path], None],
    with_news: bool,
    repository: Repository,
    client: elasticsearch.Elasticsearch,
    alias: str,
    home: Path,
    ingest: Run,
) -> None:
    origin = f"file://{repository.path}"
    assert ingest("load", origin).returncode == 0
    place = mirror.folder(home, Remote(origin))
    damage(place)
    if with_news:
        repository.commit("News", {"a.txt": "news\n"})
    done = ingest("load", origin)
    assert done.returncode == 0, done.stderr
    # Where git mends it by itself, or there was nothing to read, nothing need be said.
    assert all("cloned again" in line for line in done.stderr.splitlines())
    assert len(done.stderr.splitlines()) <= 1
    assert set(hashes(client, alias)) == repository.hashes()
    repository.git("branch", "new", "HEAD~3")
    done = ingest("load", origin)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal_to_perceval(client, alias, place, origin)


def lose_files(place: Path, repository: Repository) -> set[str]:
    """Unpack a mirror, and lose a file of the tenth commit; give the commits whose diffs need it."""
    lost = repository.git("rev-parse", "HEAD~10:a.txt")
    packed = pack(place).rename(place / "packed")
    for other in (place / "objects" / "pack").iterdir():
        other.unlink()
    repository.git(f"--git-dir={place}", "unpack-objects", "-q", stdin=packed.read_bytes())
    packed.unlink()
    (place / "objects" / lost[:2] / lost[2:]).unlink()
    return {repository.git("rev-parse", "HEAD~10"), repository.git("rev-parse", "HEAD~9")}


def test_a_mirror_from_which_commits_cannot_be_read_is_cloned_again_in_the_same_run(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    origin = f"file://{repository.path}"
    place = mirror.folder(home, Remote(origin))
    assert ingest("load", origin).returncode == 0
    lose_files(place, repository)
    client.indices.delete(index=behind(client, alias))
    place.with_name(f"{place.name}.items").unlink()
    done = ingest("load", origin)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "Commits cannot be read from the mirror" in line
    assert done.stdout.startswith("20 commits indexed, 0 rejected")
    assert not (home / "rejects").exists()
    assert_equal_to_perceval(client, alias, place, origin)


def test_a_repository_that_is_damaged_itself_is_not_cloned_again_by_every_run(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    origin = f"file://{repository.path}"
    place = mirror.folder(home, Remote(origin))
    assert ingest("load", origin).returncode == 0
    hurt = lose_files(place, repository)
    lost = repository.git("rev-parse", "HEAD~10:a.txt")
    (repository.path / ".git" / "objects" / lost[:2] / lost[2:]).unlink()
    client.indices.delete(index=behind(client, alias))
    place.with_name(f"{place.name}.items").unlink()

    done = ingest("load", origin)
    assert done.returncode == 3, done.stderr
    assert "That was not possible, and it stays as it is" in done.stderr
    assert done.stdout.startswith("20 commits indexed, 2 of them incomplete, 0 rejected")
    (file,) = (home / "rejects").iterdir()
    assert {orjson.loads(line)["hash"] for line in file.read_bytes().splitlines()} == hurt
    again = ingest("load", origin)
    assert again.returncode == 3
    assert "cloned again" not in again.stderr
    assert again.stdout.startswith("2 commits indexed, 2 of them incomplete, 0 rejected")
    assert list((home / "rejects").iterdir()) == [file]
    assert set(hashes(client, alias)) == repository.hashes()


def test_a_mirror_that_a_user_named_is_left_as_it_is(
    tmp_path: Path, repository: Repository, home: Path, ingest: Run
) -> None:
    place = tmp_path / "mine.git"
    origin = f"file://{repository.path}"
    assert ingest("load", "--gitpath", place, origin).returncode == 0
    garble_the_configuration(place)
    before = sorted((path, path.stat().st_size) for path in place.rglob("*"))
    repository.commit("News", {"a.txt": "news\n"})
    line = one_line(ingest("load", "--gitpath", place, origin), 4, str(place))
    assert "cloned again" not in line
    assert sorted((path, path.stat().st_size) for path in place.rglob("*")) == before


LEFT = ["HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock", "objects/pack/tmp_pack_Xy12"]


@pytest.mark.parametrize(
    "name", ["refs/heads/main.lock", *(pytest.param(each, marks=pytest.mark.slow) for each in LEFT)]
)
def test_what_a_killed_git_left_is_in_nobodys_way(
    name: str, repository: Repository, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    origin = str(repository.path)
    assert ingest("load", origin).returncode == 0
    left = mirror.folder(home, Remote(origin)) / name
    left.write_bytes(b"")
    repository.git("tag", "--delete", "v1")
    repository.commit("News", {"a.txt": "news\n"})
    done = ingest("load", origin)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(hashes(client, alias)) == repository.hashes()
    assert not left.exists()
