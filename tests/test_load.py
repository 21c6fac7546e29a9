"""The main job, end to end: the command, a real repository, a real Elasticsearch."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import elasticsearch
import orjson
import pytest
from perceval.backends.core.git import GitRepository

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index import manage
from ingest.index.conversion import item
from ingest.index.document import mapping
from tests.conftest import Run
from tests.documents import assert_equal_to_perceval, documents, hashes, perceval_items, without_time
from tests.repository import Repository, linear, of_every_kind


def settings_of(client: elasticsearch.Elasticsearch, alias: str) -> dict[str, Any]:
    (index,) = client.indices.get_settings(index=alias, flat_settings=True).values()
    return {name: index["settings"].get(f"index.{name}") for name in ("refresh_interval", "number_of_replicas")}


def started(client: elasticsearch.Elasticsearch, alias: str) -> bool:
    """Whether a load has indexed its first document."""
    if not client.indices.exists(index=alias):
        return False
    primaries = client.indices.stats(index=alias)["_all"]["primaries"]
    return bool(primaries.get("indexing", {}).get("index_total"))


def test_every_document_read_back_is_percevals_item(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = of_every_kind(tmp_path / "repository")
    done = ingest("load", repository.path)
    assert done.returncode == 0, done.stderr
    assert set(hashes(client, alias)) == repository.hashes()
    origin = str(repository.path)
    assert_equal_to_perceval(client, alias, mirror.folder(home, Remote(origin)), origin)


@pytest.mark.slow
def test_a_commit_of_50000_files_is_one_document_that_lists_them_all(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    names = [f"folder-{number % 100}/file-{number}.txt" for number in range(50_000)]
    stream = b"blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 1\nm\n" + b"".join(
        b"M 644 :1 %s\n" % name.encode() for name in names
    )
    repository = Repository(tmp_path / "repository", "--bare")
    repository.git("fast-import", "--quiet", stdin=stream)
    assert ingest("load", repository.path).returncode == 0
    ((uuid, document),) = documents(client, alias).items()
    expected = perceval_items(mirror.folder(home, Remote(str(repository.path))), str(repository.path))
    assert without_time(item(document)) == without_time(expected[uuid])
    assert sorted(file["path"] for file in document["files"]) == sorted(names)
    assert (document["files_count"], document["lines_added"], document["lines_removed"]) == (50_000, 50_000, 0)


def test_a_second_run_leaves_the_same_documents(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 50)
    assert ingest("load", repository.path).returncode == 0
    before = hashes(client, alias)
    assert ingest("load", repository.path).returncode == 0
    assert hashes(client, alias) == before == sorted(repository.hashes())


def test_new_commits_branches_and_tags_of_the_repository_are_indexed_by_the_next_run(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 5)
    assert ingest("load", repository.path).returncode == 0
    repository.git("checkout", "--quiet", "--detach")
    repository.commit("Only a tag reaches this")
    repository.git("tag", "-a", "-m", "x", "v1")
    repository.git("checkout", "--quiet", "-b", "new", "main~2")
    repository.commit("On a new branch")
    assert ingest("load", repository.path).returncode == 0
    assert hashes(client, alias) == sorted(repository.hashes())
    assert len(repository.hashes()) == 7


def test_the_index_is_a_version_behind_the_alias_with_the_strict_mapping(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    assert ingest("load", linear(tmp_path / "repository", 1).path).returncode == 0
    ((index, body),) = client.indices.get(index=alias).items()
    assert index.startswith(f"{alias}-20")
    assert body["aliases"] == {alias: {}}
    assert body["mappings"]["dynamic"] == "strict"
    assert body["mappings"]["_meta"] == {"mapping_version": 1}
    assert body["mappings"]["properties"].keys() == mapping()["properties"].keys()


def test_kibana_and_grimoirelab_find_commits_by_the_names_they_know(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("A subject to find", {"a": "1\n"})
    assert ingest("load", repository.path).returncode == 0
    for field, value in {
        "author_name": "Ada Lovelace",
        "author_domain": "example.org",
        "committer_name": "Charles Babbage",
        "title": "subject",
        "@timestamp": "2001-09-09T01:47:40Z",
        "utc_commit": "2001-09-09T01:47:40Z",
        "grimoire_creation_date": "2001-09-09T07:17:40+05:30",
    }.items():
        assert client.count(index=alias, query={"match": {field: value}})["count"] == 1, field


@pytest.mark.parametrize("kind", ["working tree", "bare", "file URL", "relative path"])
def test_a_repository_may_be_named_by(
    kind: str, tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    repository = linear(tmp_path / "repository", 3)
    name, origin = str(repository.path), str(repository.path)
    if kind == "bare":
        repository.git("clone", "--quiet", "--bare", ".", "../bare.git")
        name = origin = str(tmp_path / "bare.git")
    elif kind == "file URL":
        name = origin = f"file://{repository.path}"
    elif kind == "relative path":
        name = "./repository/"
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "load", name],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {document["origin"] for document in documents(client, alias).values()} == {origin}
    assert hashes(client, alias) == sorted(repository.hashes())


def test_the_environment_names_repositories_too(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    one, two = linear(tmp_path / "one", 3), linear(tmp_path / "two", 4)
    assert ingest("load", INGEST_REPO=f"{one.path} {two.path}").returncode == 0
    assert len(hashes(client, alias)) == 7


def test_only_the_chosen_branches_are_read(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 5)
    for name in ("a", "b"):
        repository.git("checkout", "--quiet", "-b", name, "main~2")
        repository.commit(name)
    assert ingest("load", "--branch", "main", "--branch", "a", repository.path).returncode == 0
    assert hashes(client, alias) == sorted(repository.git("rev-list", "main", "a").split())


def test_gitpath_says_where_the_mirror_lies(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3)
    place = tmp_path / "mirrors" / "mine.git"
    for _ in range(2):
        assert ingest("load", "--gitpath", place, repository.path).returncode == 0
    assert (place / "HEAD").is_file()
    assert not (home / "mirrors").exists()
    assert hashes(client, alias) == sorted(repository.hashes())


def test_gitpath_may_name_a_saved_log(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = of_every_kind(tmp_path / "repository")
    log = tmp_path / "saved.log"
    options = [*GitRepository.GIT_PRETTY_OUTPUT_OPTS, "--reverse", "--topo-order", "--branches", "--tags"]
    log.write_bytes(repository.git("log", *options).encode("utf-8", "surrogateescape") + b"\n")
    assert ingest("load", "--gitpath", log, "https://example.org/repository").returncode == 0
    expected = perceval_items(log, "https://example.org/repository")
    indexed = documents(client, alias)
    assert indexed.keys() == expected.keys()
    for uuid, document in indexed.items():
        assert without_time(item(document)) == without_time(expected[uuid])


def test_a_project_labels_the_documents(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    assert ingest("load", "--project", "Analytics", linear(tmp_path / "repository", 2).path).returncode == 0
    assert [document["project"] for document in documents(client, alias).values()] == ["Analytics"] * 2


def test_the_last_lines_say_what_was_done_and_how_to_look_at_it(
    tmp_path: Path, server: Any, alias: str, environment: dict[str, str], ingest: Run
) -> None:
    done = ingest("load", linear(tmp_path / "repository", 3).path)
    first, *commands = done.stdout.splitlines()
    assert first.startswith("3 commits indexed, 0 rejected in ")
    assert f"{alias} at {server.url} now holds 3" in first
    assert [command.split()[0] for command in commands] == ["ingest"] * 2 + ["curl"] * 3
    for command in commands:
        typed = command.replace("curl", "curl -fsS").replace("  ingest", f"{sys.executable} -m ingest")
        answer = subprocess.run(["bash", "-c", typed], env=environment, capture_output=True, check=False)
        assert answer.returncode == 0, answer.stderr
    assert done.stderr == ""


def test_a_repository_that_cannot_be_read_does_not_keep_the_others_from_it(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    good = linear(tmp_path / "good", 3)
    done = ingest("load", tmp_path / "missing", good.path)
    assert done.returncode == 4
    assert str(tmp_path / "missing") in done.stderr
    assert hashes(client, alias) == sorted(good.hashes())


def test_signatures_and_dates_at_which_perceval_stops_are_indexed(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("One")
    tree = repository.git("rev-parse", "HEAD^{tree}")
    for signature in ("A B", "Only Name 20 +0000", "A <a@b> 99999999999999 +0000", "A <a@b> 2 -1200"):
        repository.raw_commit(
            f"tree {tree}\nparent {repository.head()}\nauthor {signature}\ncommitter {signature}\n\nx\n".encode()
        )
    done = ingest("load", repository.path)
    assert done.returncode == 0, done.stderr
    assert hashes(client, alias) == sorted(repository.hashes())
    (early,) = client.search(index=alias, query={"term": {"author_utc_offset": -720}})["hits"]["hits"]
    assert early["_source"]["author_date"] == "1969-12-31T12:00:02-12:00"
    assert "incomplete" not in early["_source"]


def test_a_first_load_runs_without_refresh_and_restores_what_was_before(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str
) -> None:
    index = manage.prepare(client, alias)
    client.indices.put_settings(index=index, settings={"refresh_interval": "7s", "number_of_replicas": 2})
    with manage.tuned_for_first_load(client, index, 1):
        assert settings_of(client, alias) == {"refresh_interval": "-1", "number_of_replicas": "2"}
    assert settings_of(client, alias) == {"refresh_interval": "7s", "number_of_replicas": "2"}


def test_a_first_load_that_fails_restores_the_settings_too(client: elasticsearch.Elasticsearch, alias: str) -> None:
    index = manage.prepare(client, alias)
    before = settings_of(client, alias)

    with pytest.raises(KeyboardInterrupt), manage.tuned_for_first_load(client, index, 1):
        raise KeyboardInterrupt
    assert settings_of(client, alias) == before == {"refresh_interval": None, "number_of_replicas": "1"}


def test_settings_that_a_killed_first_load_left_are_restored_by_the_next_run(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    index = manage.prepare(client, alias)
    client.indices.put_settings(index=index, settings={"refresh_interval": "7s"})
    killed = manage.tuned_for_first_load(client, index, 1)
    killed.__enter__()
    assert ingest("load", linear(tmp_path / "repository", 3).path).returncode == 0
    assert settings_of(client, alias) == {"refresh_interval": "7s", "number_of_replicas": "1"}
    assert client.indices.get_mapping(index=index)[index]["mappings"]["_meta"] == {"mapping_version": 1}


def test_a_later_load_leaves_the_settings_alone(client: elasticsearch.Elasticsearch, alias: str) -> None:
    index = manage.prepare(client, alias)
    client.index(index=alias, document={"hash": "1"}, refresh=True)
    with manage.tuned_for_first_load(client, index, 1):
        assert settings_of(client, alias) == {"refresh_interval": None, "number_of_replicas": "1"}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_says_so_and_the_next_one_completes(
    number: signal.Signals,
    code: int,
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    command = [sys.executable, "-m", "ingest", "load", "--chunk-size", "1", str(repository.path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not started(client, alias):
            assert process.poll() is None
        process.send_signal(number)
        _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint.count("\n")) == (code, 1)
    assert "safe to run again" in complaint
    assert settings_of(client, alias) == {"refresh_interval": None, "number_of_replicas": "1"}
    assert ingest("load", repository.path).returncode == 0
    assert hashes(client, alias) == sorted(repository.hashes())


def test_a_sha256_repository_is_indexed(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository", "--object-format=sha256")
    commits = [repository.commit("One", {"a": "1\n"}), repository.commit("Two", {"a": "2\n"})]
    done = ingest("load", repository.path)
    assert done.returncode == 0, done.stderr
    assert hashes(client, alias) == sorted(commits)
    assert {len(commit) for commit in commits} == {64}


def test_commits_that_git_cannot_read_whole_are_indexed_as_far_as_they_go_and_listed(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    for number in range(5):
        repository.commit(f"Change {number}", {"a": f"{number}\n", "b": "same\n"})
    place = tmp_path / "mirror.git"
    assert ingest("load", "--items-bytes", "0", "--gitpath", place, repository.path).returncode == 0
    before = documents(client, alias)
    lost = repository.git("rev-parse", "HEAD~2:a")
    (place / "objects" / lost[:2] / lost[2:]).unlink()

    done = ingest("load", "--items-bytes", "0", "--gitpath", place, "--index", f"{alias}-2", repository.path)
    assert done.returncode == 3
    assert done.stdout.startswith("5 commits indexed, 2 of them incomplete, 0 rejected in ")
    after = documents(client, f"{alias}-2")
    hurt = {repository.git("rev-parse", "HEAD~2"), repository.git("rev-parse", "HEAD~1")}
    for uuid, document in after.items():
        if document["hash"] in hurt:
            assert document["incomplete"] == f"unreadable diff: unable to read {lost}"
            assert document["files"] == []
            assert document["message"] == before[uuid]["message"]
        else:
            assert without_time(item(document)) == without_time(item(before[uuid]))
    (file,) = (home / "rejects").iterdir()
    assert str(file) in done.stderr
    listed = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert {line["hash"] for line in listed} == hurt
    assert {(line["index"], line["origin"]) for line in listed} == {(f"{alias}-2", str(repository.path))}
