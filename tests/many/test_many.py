"""A list of repositories, end to end: the command, real repositories, a real Elasticsearch."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import elasticsearch
import psutil
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index.document import mapping
from tests.conftest import Run
from tests.documents import counted, documents, hashes
from tests.node.conftest import wait_for
from tests.repository import Repository, linear, recording_git
from tests.terminal import on_a_terminal


class Some:
    """Some repositories and the list of them."""

    def __init__(self, folder: Path, sizes: list[int]) -> None:
        self.repositories = [linear(folder / f"r{number}", size) for number, size in enumerate(sizes)]
        self.list = folder / "list"
        self.write([str(each.path) for each in self.repositories])

    def write(self, lines: list[str]) -> None:
        self.list.write_text("".join(f"{line}\n" for line in lines))

    @property
    def origins(self) -> list[str]:
        return [str(each.path) for each in self.repositories]

    def hashes(self) -> list[str]:
        return sorted(commit for each in self.repositories for commit in each.hashes())


@pytest.fixture
def some(tmp_path: Path) -> Some:
    return Some(tmp_path / "some", [3, 40, 7, 1, 20])


def states(client: elasticsearch.Elasticsearch, alias: str) -> dict[str, dict[str, Any]]:
    client.indices.refresh(index=f"{alias}-state")
    hits = client.search(index=f"{alias}-state", size=1000)["hits"]["hits"]
    return {hit["_source"]["origin"]: hit["_source"] for hit in hits}


def processes_of(home: Path) -> list[psutil.Process]:
    """Those that know of a folder by their environment."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get("INGEST_HOME") == str(home) and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "3"])
def test_a_list_is_loaded_with_the_projects_that_it_names(
    jobs: str, some: Some, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    some.write([f"{origin} {'one' if number < 2 else 'two'}" for number, origin in enumerate(some.origins)])
    done = ingest("load", "--repos", some.list, "--jobs", jobs, "--project", "other")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("5 repositories: 5 loaded, 0 unchanged, 0 failed\n71 commits indexed, 0 rejected in ")
    found = documents(client, alias).values()
    assert sorted(each["hash"] for each in found) == some.hashes()
    assert {(each["origin"], each["project"]) for each in found} == {
        (origin, "one" if number < 2 else "two") for number, origin in enumerate(some.origins)
    }


@pytest.mark.slow
def test_a_list_and_arguments_go_together(
    some: Some, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    some.write(some.origins[1:])
    done = ingest("load", some.origins[0], INGEST_REPOS=str(some.list))
    assert done.stdout.startswith("5 repositories: 5 loaded")
    assert hashes(client, alias) == some.hashes()
    assert ingest("load", "--repos", some.list, "--project", "x", some.origins[1]).returncode == 0
    some.write([f"{some.origins[1]} label"])
    done = ingest("load", some.origins[1], "--repos", some.list)
    assert done.returncode == 2
    assert f"in the argument 1 and of 'label' in {some.list}:1" in done.stderr


def test_nothing_new_takes_one_git_a_repository_and_few_requests_and_is_noted(
    some: Some,
    client: elasticsearch.Elasticsearch,
    alias: str,
    environment: dict[str, str],
    tmp_path: Path,
    ingest: Run,
) -> None:
    assert ingest("load", "--repos", some.list).returncode == 0
    before = states(client, alias)
    path, recorded = recording_git(tmp_path)
    done = ingest("load", "--repos", some.list, "--jobs", "1", PATH=path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("5 repositories: 0 loaded, 5 unchanged, 0 failed\n0 commits indexed")
    commands = [line.split()[0] for line in recorded.read_text().splitlines()]
    assert sorted(commands) == ["--no-pager", "config", *["ls-remote"] * 5]
    for origin, state in states(client, alias).items():
        assert state["last_success"] > before[origin]["last_success"]
        assert state["last_attempt"].keys() == before[origin]["last_attempt"].keys()
        assert state["last_attempt"]["host"] == before[origin]["last_attempt"]["host"]
        assert (state["last_attempt"]["exit_code"], state["unfinished"]) == (0, {})
        assert state["reached"] == before[origin]["reached"]


def test_only_what_is_new_is_loaded(some: Some, client: elasticsearch.Elasticsearch, alias: str, ingest: Run) -> None:
    assert ingest("load", "--repos", some.list).returncode == 0
    some.repositories[2].commit("New")
    some.repositories[3].git("tag", "new")
    some.repositories[4].git("reset", "--hard", "HEAD~2")
    done = ingest("load", "--repos", some.list)
    assert done.stdout.startswith(
        "5 repositories: 3 loaded, 2 unchanged, 0 failed\n4 commits indexed, 2 deleted, 0 rejected"
    )
    assert hashes(client, alias) == some.hashes()
    assert ingest("load", "--repos", some.list).stdout.startswith("5 repositories: 0 loaded, 5 unchanged, 0 failed")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    ["document lost", *(pytest.param(each, marks=pytest.mark.slow)
                        for each in ("other branch", "other project", "unfinished", "state lost"))],
)  # fmt: skip
def test_a_repository_with_nothing_new_is_looked_at_whole_where_the_index_may_not_be_what_it_was(
    change: str, some: Some, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    assert ingest("load", "--repos", some.list).returncode == 0
    options: tuple[str, ...] = ()
    if change == "document lost":
        client.delete(index=alias, id=next(iter(documents(client, alias))))
    elif change == "state lost":
        client.indices.delete(index=f"{alias}-state")
    elif change == "unfinished":
        query = {"term": {"origin": some.origins[1]}}
        (hit,) = client.search(index=f"{alias}-state", query=query)["hits"]["hits"]
        run = {"x": {"host": "elsewhere", "started": "2026-01-01T00:00:00+00:00"}}
        client.update(index=f"{alias}-state", id=hit["_id"], doc={"unfinished": run})
        client.delete(index=alias, id=next(iter(documents(client, alias))))
    else:
        options = ("--branch", "main") if change == "other branch" else ("--project", "x")
    done = ingest("load", "--repos", some.list, *options)
    assert done.returncode == 0, done.stderr
    assert hashes(client, alias) == some.hashes()
    if change == "other project":
        assert {each["project"] for each in documents(client, alias).values()} == {"x"}
    assert all(state["unfinished"] == {} for state in states(client, alias).values())


def test_one_that_fails_is_told_of_in_a_line_and_the_others_go_on(
    some: Some, tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    unreachable = "git://127.0.0.1:1/x"
    some.write([str(tmp_path / "missing"), unreachable, *some.origins])
    with mirror.held(mirror.folder(home, Remote(some.origins[0]))):
        done = ingest("load", "--repos", some.list)
    assert done.returncode == 4
    first, *table = done.stdout.splitlines()[:4]
    assert first == "7 repositories: 4 loaded, 0 unchanged, 3 failed"
    assert [line.split(": ")[0] for line in table] == [
        f"  exit 4  {tmp_path / 'missing'}", f"  exit 6  {some.origins[0]}", f"  exit 4  {unreachable}"
    ]  # fmt: skip
    assert "Traceback" not in done.stderr
    # What may pass is tried again when the others are done.
    lines = done.stderr.splitlines()
    assert sum("tried again at the end" in line for line in lines) == 2
    assert sum("Running again" in line for line in lines) == 3
    assert len(lines) == 5
    assert len(documents(client, alias)) == 68
    done = ingest("load", "--repos", some.list, "--quiet")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (4, "", 2)
    assert hashes(client, alias) == some.hashes()


@pytest.mark.slow
def test_what_comes_back_while_others_are_loaded_is_no_failure(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str], home: Path
) -> None:
    some = Some(tmp_path / "some", [5, 3000])
    command = [sys.executable, "-m", "ingest", "load", "--repos", str(some.list), "--jobs", "1", "--chunk-size", "20"]
    with ExitStack() as held:
        held.enter_context(mirror.held(mirror.folder(home, Remote(some.origins[0]))))
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        wait_for(lambda: counted(client, alias) > 0)
        assert process.poll() is None
        held.close()
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert said.startswith("2 repositories: 2 loaded, 0 unchanged, 0 failed")
    assert hashes(client, alias) == some.hashes()


@pytest.mark.slow
def test_rejected_documents_of_all_repositories_are_in_one_list(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repositories = [Repository(tmp_path / name) for name in ("one", "two")]
    for number, repository in enumerate(repositories):
        repository.commit("1")
        repository.commit(f"Not a number {number}")
    narrow = mapping()
    narrow["properties"]["message"] = {"type": "integer"}
    client.indices.create(index=f"{alias}-narrow", mappings=narrow, aliases={alias: {}})
    named = [repository.path for repository in repositories]
    done = ingest("load", "--jobs", "2", *named)
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        3, "2 repositories: 2 loaded, 2 of them not whole, 0 unchanged, 0 failed"
    )  # fmt: skip
    (file,) = (home / "rejects").iterdir()
    listed = {json.loads(line)["document"]["origin"] for line in file.read_text().splitlines()}
    assert listed == set(map(str, named))
    done = ingest("load", "--jobs", "2", *named)
    assert (done.returncode, len(list((home / "rejects").iterdir()))) == (3, 1)
    assert "2 repositories: 2 commits are still lacking" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [signal.SIGTERM, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGINT, signal.SIGKILL))]
)
def test_a_run_that_is_stopped_leaves_no_process_and_no_lock_and_the_next_one_finishes(
    how: signal.Signals,
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    environment: dict[str, str],
    home: Path,
    ingest: Run,
) -> None:
    some = Some(tmp_path / "some", [6000, 6000, 50])
    command = [sys.executable, "-m", "ingest", "load", "--repos", str(some.list), "--jobs", "2", "--chunk-size", "10"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: counted(client, alias) > 0)
        process.send_signal(how)
        _, complaint = process.communicate(timeout=60)
    wait_for(lambda: not processes_of(home))
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert complaint == f"ingest: Stopped by {how.name}. It is safe to run again.\n"
    outcomes = {state["last_attempt"]["outcome"] for state in states(client, alias).values()}
    assert outcomes <= {"interrupted", "done"}
    assert "interrupted" in outcomes
    assert ingest("load", "--repos", some.list).returncode == 0
    assert hashes(client, alias) == some.hashes()


@pytest.mark.slow
def test_a_process_that_is_killed_costs_its_repository_a_second_try(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    some = Some(tmp_path / "some", [3000, 5])
    command = [sys.executable, "-m", "ingest", "load", "--repos", str(some.list), "--jobs", "1", "--chunk-size", "10"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: counted(client, alias) > 0)
        for child in psutil.Process(process.pid).children():
            child.kill()
        said, complaint = process.communicate(timeout=120)
    assert (process.returncode, len(complaint.splitlines())) == (0, 1)
    assert "was killed. It is tried again at the end" in complaint
    assert said.startswith("2 repositories: 2 loaded, 0 unchanged, 0 failed")
    assert hashes(client, alias) == some.hashes()


@pytest.mark.slow
def test_no_secret_is_in_an_argument_of_a_process(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str], home: Path
) -> None:
    some = Some(tmp_path / "some", [3000, 5])
    some.write([*some.origins, "https://user:hunter2@127.0.0.1:1/x.git"])
    command = [sys.executable, "-m", "ingest", "load", "--repos", str(some.list), "--jobs", "2", "--chunk-size", "10"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: counted(client, alias) > 0)
        arguments = [" ".join(each.cmdline()) for each in processes_of(home)]
        said, complaint = process.communicate(timeout=120)
    assert len(arguments) >= 2
    assert not any("hunter2" in text for text in (*arguments, said, complaint))


def test_repositories_that_left_the_list_are_told_of_and_pruned_if_told_so(
    some: Some, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    assert ingest("load", "--repos", some.list).returncode == 0
    gone = some.origins[1]
    some.write([origin for origin in some.origins if origin != gone])
    done = ingest("load", "--repos", some.list)
    assert (done.returncode, len(documents(client, alias))) == (0, 71)
    assert f"Not in {some.list}, but in {alias}: {gone} (1 in all)" in done.stderr
    place = mirror.folder(home, Remote(gone))
    assert place.is_dir()
    done = ingest("load", "--repos", some.list, "--prune")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"ingest: {gone} is not in {some.list}, and was removed with its 40 documents\n"
    assert gone not in {each["origin"] for each in documents(client, alias).values()}
    assert len(documents(client, alias)) == 31
    assert states(client, alias).keys() == set(some.origins) - {gone}
    assert [path.name for path in place.parent.glob(f"{place.name}*")] == [f"{place.name}.lock"]
    assert ingest("load", "--repos", some.list, "--prune").stderr == ""


@pytest.mark.slow
def test_nothing_is_pruned_without_a_good_list(
    some: Some, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    assert ingest("load", "--repos", some.list).returncode == 0
    assert ingest("load", "--prune", some.origins[0]).returncode == 2
    for content in ("", "# nothing\n", f"{some.origins[0]}\next::sh\n"):
        some.list.write_text(content)
        assert ingest("load", "--prune", "--repos", some.list).returncode == 2
    some.list.unlink()
    assert ingest("load", "--prune", "--repos", some.list).returncode == 2
    some.write(some.origins[1:])
    with mirror.held(mirror.folder(home, Remote(some.origins[0]))):
        done = ingest("load", "--prune", "--repos", some.list)
    assert (done.returncode, "Another run holds" in done.stderr) == (6, True)
    assert hashes(client, alias) == some.hashes()


@pytest.mark.slow
def test_a_terminal_shows_a_bar_for_the_whole_and_one_for_each_that_is_loaded(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    some = Some(tmp_path / "some", [3000, 3000, 5])
    command = [sys.executable, "-m", "ingest", "load", "--repos", str(some.list), "--jobs", "2", "--chunk-size", "50"]
    code, shown = on_a_terminal(command, environment)
    assert code == 0
    assert "all: 100%" in shown
    assert "3/3" in shown
    assert all(f"{origin[-48:]}: " in shown for origin in some.origins[:2])


@pytest.mark.slow
def test_figures_of_each_repository_as_json(some: Some, ingest: Run) -> None:
    done = ingest("load", "--repos", some.list, "--log-format", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {(line["origin"], line["indexed"]) for line in lines} == set(
        zip(some.origins, [3, 40, 7, 1, 20], strict=True)
    )
    done = ingest("load", "--repos", some.list, "--log-format", "json")
    assert [json.loads(line)["indexed"] for line in done.stderr.splitlines()] == [0] * 5


def test_a_server_that_is_away_ends_all_with_exit_5(some: Some, ingest: Run) -> None:
    done = ingest("load", "--repos", some.list, "--retry-for", "1s", ES_URL="http://127.0.0.1:1")
    assert (done.returncode, len(done.stderr.splitlines())) == (5, 1)
