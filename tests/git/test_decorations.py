"""Decorations are those that Perceval's own log has."""

from pathlib import Path

import pytest

from ingest.errors import RepositoryRefusedError
from ingest.git.decorations import decorations
from ingest.git.perceval import refs
from tests.git.items import perceval
from tests.git.repositories import HARD_CASES, History, git, hashes
from tests.repository import Repository, of_every_kind


def percevals(path: Path) -> dict[str, list[str]]:
    return {name: item["data"]["refs"] for name, item in perceval(path).items() if item["data"]["refs"]}


def ours(path: Path) -> dict[str, list[str]]:
    return {name: refs(decoration) for name, decoration in decorations(path).items()}


def test_are_percevals_for_branches_tags_and_head(tmp_path: Path) -> None:
    repository = of_every_kind(tmp_path / "repository")
    repository.git("tag", "--annotate", "--message=x", "tag-of-a-tag", "release/1.0,final")
    repository.git("tag", "blob", "HEAD:t.txt")
    repository.git("tag", "tree", "HEAD^{tree}")
    mirror = tmp_path / "repository" / ".git"
    found = ours(mirror)
    assert found == percevals(mirror)
    assert found[repository.head()][:2] == ["HEAD -> refs/heads/main", "tag: refs/tags/tag-of-a-tag"]
    assert "tag: refs/tags/release/1.0" in found[repository.head()]


@pytest.mark.parametrize("head", ["detached", "unborn"])
def test_are_percevals_wherever_head_is(head: str, tmp_path: Path) -> None:
    mirror = HARD_CASES["an octopus"]().build(tmp_path / "mirror.git")
    first = hashes(mirror)[0]
    if head == "detached":
        git(mirror, "update-ref", "--no-deref", "HEAD", first)
    else:
        git(mirror, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    found = ours(mirror)
    assert found == percevals(mirror)
    assert found.get(first) == (["HEAD"] if head == "detached" else None)


def test_are_percevals_for_the_boundary_of_a_shallow_clone_and_for_replaced_commits(tmp_path: Path) -> None:
    origin = Repository(tmp_path / "origin")
    names = [origin.commit(str(number), {"a": str(number)}) for number in range(6)]
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=4", f"file://{origin.path}", str(mirror))
    other = git(mirror, "cat-file", "commit", names[4]).encode() + b"Another message\n"
    git(mirror, "replace", names[4], git(mirror, "hash-object", "-t", "commit", "-w", "--stdin", given=other).strip())
    assert ours(mirror) == percevals(mirror)
    assert ours(mirror) == {names[2]: ["grafted"], names[4]: ["replaced"], names[5]: ["HEAD -> refs/heads/main"]}


def test_a_repository_without_commits_has_none(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    git(tmp_path, "init", "--quiet", "--bare", str(mirror))
    assert decorations(mirror) == {}
    git(mirror, "tag", "blob", git(mirror, "hash-object", "-w", "--stdin").strip())
    assert decorations(mirror) == {}


def test_a_ref_to_nothing_is_passed_over(tmp_path: Path) -> None:
    mirror = HARD_CASES["an octopus"]().build(tmp_path / "mirror.git")
    expected = decorations(mirror)
    (mirror / "refs" / "heads" / "broken").write_text(f"{'1' * 40}\n")
    assert decorations(mirror) == expected


def test_of_a_sha256_repository_have_its_hashes(tmp_path: Path) -> None:
    history = History(hash_digits=64)
    history.commit({"a": b"a"})
    mirror = history.build(tmp_path / "mirror.git")
    assert decorations(mirror) == {hashes(mirror)[0]: "refs/heads/tip-1"}


def test_what_is_no_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefusedError):
        decorations(tmp_path)
