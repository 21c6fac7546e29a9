"""The grounds of kept items change when git may say something else of the same commits."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.git.grounds import grounds
from tests.git.repositories import HARD_CASES, git, hashes


def limit_renames(mirror: Path) -> None:
    git(mirror, "config", "diff.renameLimit", "1")


def abbreviate_longer(mirror: Path) -> None:
    git(mirror, "config", "core.abbrev", "12")


def replace_a_commit(mirror: Path) -> None:
    first, second, *_ = hashes(mirror)
    git(mirror, "replace", first, second)


def call_files_binary(mirror: Path) -> None:
    (mirror / "info").mkdir(exist_ok=True)
    (mirror / "info" / "attributes").write_text("* -diff\n")


def map_names(mirror: Path) -> None:
    blob = git(mirror, "hash-object", "-w", "--stdin", given=b"Somebody <author@example.org>\n").strip()
    tree = git(mirror, "mktree", given=b"100644 blob %s\t.mailmap\n" % blob.encode()).strip()
    commit = f"tree {tree}\nauthor A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n\nx\n".encode()
    made = git(mirror, "hash-object", "-t", "commit", "-w", "--stdin", given=commit).strip()
    git(mirror, "update-ref", "HEAD", made)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return HARD_CASES["an octopus"]().build(tmp_path / "mirror.git")


@pytest.mark.parametrize("change", [limit_renames, abbreviate_longer, replace_a_commit, call_files_binary, map_names])
def test_change_with_what_git_depends_on(change: Callable[[Path], None], mirror: Path) -> None:
    before = grounds(mirror)
    change(mirror)
    assert grounds(mirror) != before


def test_stay_the_same_whatever_branches_and_tags_there_are(mirror: Path) -> None:
    before = grounds(mirror)
    git(mirror, "update-ref", "refs/heads/other", hashes(mirror)[0])
    git(mirror, "tag", "one", hashes(mirror)[1])
    assert grounds(mirror) == before


def test_change_with_the_version_of_git(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = grounds(mirror)
    wrapper = tmp_path / "git"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *version) echo git version 2.30.2;; *) exec {shutil.which("git")} "$@";; esac\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    after = grounds(mirror)
    assert after.startswith("2.30.2 ")
    assert after.partition(" ")[2] == before.partition(" ")[2]


def test_of_what_is_damaged_are_told_all_the_same(mirror: Path) -> None:
    whole = grounds(mirror)
    (mirror / "HEAD").write_text("garbage\n")
    assert grounds(mirror).split()[0] == whole.split()[0]
