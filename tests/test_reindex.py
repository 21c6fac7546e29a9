"""Building the index anew: nobody sees it before it is complete, and nothing changes when it fails."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import elasticsearch
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index import manage
from tests.conftest import Run
from tests.documents import assert_equal_to_perceval, documents, hashes
from tests.repository import Repository, linear
from tests.test_errors import one_line


def behind(client: elasticsearch.Elasticsearch, alias: str) -> str:
    (index,) = client.indices.get_alias(name=alias)
    return str(index)


def versions(client: elasticsearch.Elasticsearch, alias: str) -> list[str]:
    """All indices of the alias but its state, oldest first."""
    return sorted(set(client.indices.get(index=f"{alias}-*", expand_wildcards="all")) - {f"{alias}-state"})


@pytest.fixture
def repository(tmp_path: Path, ingest: Run) -> Repository:
    repository = linear(tmp_path / "repository", 20)
    repository.git("branch", "old", "HEAD~5")
    assert ingest("load", "--branch", "main", "--project", "P", repository.path).returncode == 0
    return repository


def test_the_alias_moves_to_a_new_index_with_the_same_commits(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    before, origin = behind(client, alias), str(repository.path)
    repository.commit("New", {"a": "1\n"})
    done = ingest("reindex")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("21 commits indexed, 0 rejected in ")
    assert versions(client, alias) == [before, behind(client, alias)]
    # The branch and the label of the last load are those of the new index.
    assert_equal_to_perceval_of_main(client, alias, repository)
    assert {each["project"] for each in documents(client, alias).values()} == {"P"}
    assert ingest("load", "--branch", "main", "--project", "P", origin).stdout.startswith("0 commits indexed")
    assert client.indices.get(index=behind(client, alias))[behind(client, alias)]["aliases"] == {alias: {}}


def assert_equal_to_perceval_of_main(client: elasticsearch.Elasticsearch, alias: str, repository: Repository) -> None:
    assert hashes(client, alias) == sorted(repository.git("rev-list", "main").split())


def test_previous_indices_stay_as_many_as_are_to_be_kept(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    seen = [behind(client, alias)]
    for _ in range(3):
        assert ingest("reindex").returncode == 0
        seen.append(behind(client, alias))
    assert versions(client, alias) == seen[-2:]
    assert ingest("reindex", "--keep", "0").returncode == 0
    assert versions(client, alias) == [behind(client, alias)]
    indices = {hit["_source"]["index"] for hit in client.search(index=f"{alias}-state")["hits"]["hits"]}
    assert indices == {behind(client, alias)}


def test_what_others_hold_is_taken_over_when_a_repository_is_named(
    repository: Repository, tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    other = linear(tmp_path / "other", 3)
    assert ingest("load", other.path).returncode == 0
    before = documents(client, alias)
    shutil.rmtree(other.path)
    done = ingest("reindex", repository.path)
    assert done.returncode == 0, done.stderr
    after = documents(client, alias)
    assert after.keys() == before.keys()
    assert [after[each] for each in after if after[each]["origin"] == str(other.path)] == [
        before[each] for each in after if before[each]["origin"] == str(other.path)
    ]
    shutil.move(repository.path, tmp_path / "moved")
    one_line(ingest("reindex"), 4, "other")


def test_settings_that_users_chose_are_those_of_the_new_index(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    client.indices.put_settings(index=alias, settings={"refresh_interval": "7s", "number_of_replicas": 0})
    assert ingest("reindex").returncode == 0
    (index,) = client.indices.get_settings(index=alias, flat_settings=True).values()
    assert index["settings"]["index.refresh_interval"] == "7s"
    assert index["settings"]["index.number_of_replicas"] == "0"


def test_a_repository_that_is_gone_leaves_everything_as_it_is(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    before, commits = behind(client, alias), hashes(client, alias)
    shutil.rmtree(repository.path)
    one_line(ingest("reindex"), 4, str(repository.path))
    assert versions(client, alias) == [before]
    assert hashes(client, alias) == commits


def test_commits_that_can_no_longer_be_read_leave_everything_as_it_is(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    before, place = behind(client, alias), mirror.folder(home, Remote(str(repository.path)))
    lost = repository.git("rev-parse", "HEAD~3")
    for objects in (place / "objects", repository.path / ".git" / "objects"):
        (objects / lost[:2] / lost[2:]).unlink()
    done = ingest("reindex")
    assert done.returncode in (4, 5)
    assert "Traceback" not in done.stderr
    assert behind(client, alias) == before
    assert versions(client, alias) == [before]


def test_a_reindex_that_is_killed_changes_nothing_and_is_cleaned_up_by_the_next(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str], ingest: Run
) -> None:
    before, commits = behind(client, alias), hashes(client, alias)
    command = [sys.executable, "-m", "ingest", "reindex", "--chunk-size", "1"]
    with subprocess.Popen(command, env=environment, process_group=0) as process:
        while len(versions(client, alias)) == 1:
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    (abandoned,) = set(versions(client, alias)) - {before}
    assert behind(client, alias) == before
    assert hashes(client, alias) == commits
    assert ingest("reindex").returncode == 0
    assert versions(client, alias) == [before, behind(client, alias)]
    assert behind(client, alias) != abandoned


def test_a_reindex_that_is_interrupted_leaves_nothing_behind(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    before = versions(client, alias)
    command = [sys.executable, "-m", "ingest", "reindex", "--chunk-size", "1"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while len(versions(client, alias)) == 1:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert versions(client, alias) == before


def test_searches_all_through_a_reindex_neither_fail_nor_see_fewer_commits(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    assert ingest("load", linear(tmp_path / "long", 3000).path).returncode == 0
    counts, ended = [], threading.Event()

    def search() -> None:
        while not ended.is_set():
            answer = client.search(index=alias, size=1, track_total_hits=True, query={"match": {"message": "Change"}})
            counts.append(answer["hits"]["total"]["value"])

    thread = threading.Thread(target=search)
    thread.start()
    done = ingest("reindex")
    ended.set()
    thread.join()
    assert done.returncode == 0, done.stderr
    assert set(counts) == {3000}
    assert len(counts) > 10


def test_an_index_of_another_version_is_refused_until_it_is_reindexed(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    client.indices.put_mapping(index=alias, meta={"mapping_version": 0})
    one_line(ingest("load", repository.path), 5, "version 0", f"make reindex INDEX={alias}")
    assert ingest("reindex").returncode == 0
    assert ingest("load", repository.path).returncode == 0
    assert set(hashes(client, alias)) == repository.hashes()


@pytest.mark.slow
def test_loads_into_the_live_index_during_a_reindex_are_not_lost(
    repository: Repository,
    client: elasticsearch.Elasticsearch,
    alias: str,
    tmp_path: Path,
    home: Path,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    first = linear(tmp_path / "a-first", 2000)
    assert ingest("load", first.path).returncode == 0
    command = [sys.executable, "-m", "ingest", "reindex", "--chunk-size", "20"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while len(versions(client, alias)) == 1:
            assert process.poll() is None
        new = linear(tmp_path / "new", 3)
        assert ingest("load", new.path).returncode == 0
        _, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, complaint
    assert set(hashes(client, alias)) == first.hashes() | new.hashes() | set(repository.git("rev-list", "main").split())


def test_nothing_to_reindex_or_verify(ingest: Run, client: elasticsearch.Elasticsearch, alias: str) -> None:
    for command in ("reindex", "verify"):
        one_line(ingest(command), 2, f"{alias} does not exist")
    assert not client.indices.get(index=f"{alias}*", expand_wildcards="all")


def test_a_named_repository_is_loaded_where_there_was_no_index(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3)
    assert ingest("reindex", repository.path).returncode == 0
    origin = str(repository.path)
    assert_equal_to_perceval(client, alias, mirror.folder(home, Remote(origin)), origin)


def test_settings_of_a_killed_first_load_are_not_taken_over(client: elasticsearch.Elasticsearch, alias: str) -> None:
    live = manage.prepare(client, alias)
    manage.tuned_for_first_load(client, live, 1).__enter__()
    index = manage.new_name(alias)
    manage.create_beside(client, index, live, 1)
    settings = client.indices.get_settings(index=index, flat_settings=True)[index]["settings"]
    assert settings["index.number_of_replicas"] == "1"
    assert "index.refresh_interval" not in settings
