"""The histories that the benchmarks are run on."""

import subprocess
from pathlib import Path

import elasticsearch
import pytest

from benchmarks import history, many, reading, searching, server
from ingest.search.commits import Commits
from tests.conftest import Run

COMMITS = 300


def git(repository: Path, *words: str) -> str:
    command = ["git", f"--git-dir={repository}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("history") / "repository.git"
    history.create(repository, COMMITS)
    return repository


def test_a_history_is_sound(made: Path) -> None:
    git(made, "fsck", "--strict", "--no-dangling")


def test_a_history_has_so_many_commits_all_on_main_and_a_fifth_of_them_merges(made: Path) -> None:
    commits, merges = server.count_commits(made)
    assert commits == COMMITS
    assert 0.15 < merges / commits < 0.25
    assert git(made, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"


def test_a_history_adds_deletes_moves_and_changes_files(made: Path) -> None:
    actions = git(made, "log", "--no-merges", "-M", "--name-status", "--format=").splitlines()
    assert {line[0] for line in actions} == {"A", "D", "M", "R"}


def test_some_merges_change_what_both_sides_changed(made: Path) -> None:
    assert "MM\t" in git(made, "log", "--merges", "-c", "--name-status", "--format=")


def test_a_history_is_the_same_each_time(made: Path, tmp_path: Path) -> None:
    history.create(tmp_path / "again.git", COMMITS)
    assert git(tmp_path / "again.git", "rev-parse", "main") == git(made, "rev-parse", "main")


@pytest.mark.parametrize("commits", [1, 2, 3])
def test_a_history_may_be_short(commits: int, tmp_path: Path) -> None:
    history.create(tmp_path / "short.git", commits)
    assert server.count_commits(tmp_path / "short.git")[0] == commits


def test_reading_is_measured_with_and_without_kept_items(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading.compare(made, rounds=2, workers=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:18].strip() for line in lines[1:7]] == [
        "items kept", "kept items taken", "no items kept", "no items kept", "items kept", "kept items taken"
    ]  # fmt: skip
    assert [line.partition(": ")[0] for line in lines[8:]] == ["items kept"] * 2 + ["kept items taken"] * 2


def test_each_form_of_search_is_measured(
    made: Path, ingest: Run, client: elasticsearch.Elasticsearch, alias: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ingest("load", made).returncode == 0
    searching.compare(Commits(client, alias, 20), rounds=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:48].strip() for line in lines[1:]] == [name for name, _, _ in searching.FORMS]
    assert all(len(line) == 68 for line in lines)


def test_a_list_of_repositories_is_made(tmp_path: Path) -> None:
    listed = many.create(tmp_path, 3, 5)
    places = [Path(line) for line in listed.read_text().splitlines()]
    assert [server.count_commits(place)[0] for place in places] == [5, 5, 5]
