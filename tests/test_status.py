"""What users and cron are told: status, verify, quiet runs, JSON lines, and a repository that is held."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import elasticsearch
import pytest

from ingest.git import mirror
from ingest.git.history import Selection
from ingest.git.remote import Remote
from ingest.git.snapshot import Snapshot
from ingest.index import connection, manage
from ingest.index.state import Entry, Reached, State
from ingest.node import NodeInfo
from ingest.settings import Settings
from ingest.status import status
from tests.conftest import Run
from tests.documents import documents, hashes
from tests.repository import Repository, linear
from tests.test_errors import one_line


@pytest.fixture
def repository(tmp_path: Path, ingest: Run) -> Repository:
    repository = linear(tmp_path / "repository", 5)
    assert ingest("load", repository.path).returncode == 0
    return repository


def test_status_tells_of_each_repository_how_its_last_run_ended(
    repository: Repository, tmp_path: Path, alias: str, ingest: Run
) -> None:
    missing = tmp_path / "missing"
    assert ingest("load", missing).returncode == 4
    done = ingest("status", "--json", "--sizes")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["index"], found["documents"]) == (alias, 5)
    bad, good = found["origins"]
    assert {each["mirror_bytes"] for each in json.loads(ingest("status", "--json").stdout)["origins"]} == {None}
    assert (good["origin"], good["commits"], good["lacking"]) == (str(repository.path), 5, 0)
    assert good["last_attempt"]["exit_code"] == 0
    assert good["last_attempt"]["seconds"] > 0
    assert good["mirror_bytes"] > 1000
    assert good["items_bytes"] > 1000
    assert (bad["origin"], bad["commits"], bad["last_success"]) == (str(missing), None, None)
    assert bad["last_attempt"]["exit_code"] == 4
    assert "cannot be read" in bad["last_attempt"]["outcome"]
    printed = ingest("status").stdout.splitlines()
    assert printed[0].startswith(f"{alias} at ")
    assert printed[2].endswith(str(missing))
    assert printed[3].endswith(str(repository.path))


@pytest.mark.slow
def test_status_of_ten_thousand_repositories_takes_few_requests_and_a_screen(
    client: elasticsearch.Elasticsearch,
    server: NodeInfo,
    alias: str,
    home: Path,
    ingest: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = State(client, alias, manage.prepare(client, alias), 5)
    state.create()
    note(state, 10_000)
    requests = []
    asked = connection.Node.perform_request

    def counting(*given: Any, **named: Any) -> Any:
        requests.append(given)
        return asked(*given, **named)

    monkeypatch.setattr(connection.Node, "perform_request", counting)
    with connection.connect((server.url,)) as counted:
        found = status(counted, Settings(home=home, index=alias))
    assert (len(found.origins), len(requests)) == (10_000, 15)
    lines = ingest("status").stdout.splitlines()
    assert len(lines) == 24
    assert lines[1] == (
        "2 failed last, 1 lack commits, 1 are running, 1 never succeeded; the oldest success is of 2026-01-01 00:00:00"
    )
    assert [line.split()[-1] for line in lines[2:8]] == [
        "repository", "https://h/00003", "https://h/00002", "https://h/00004", "https://h/09999", "https://h/09998"
    ]  # fmt: skip
    assert lines[-1] == "… and 9,980 more: ingest status --all"
    assert len(ingest("status", "--all").stdout.splitlines()) == 10_002


def note(state: State, count: int) -> None:
    """Note of so many origins that they were loaded, of few of them that something is wrong."""
    operations: list[dict[str, Any]] = []
    for number in range(count):
        moment = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).isoformat()
        lacking = frozenset({"0" * 40} if number == 4 else ())
        shot = Snapshot(("1" * 40,) * 50, {"1" * 40: "refs/heads/main"}, "", "", "x")
        attempt: dict[str, Any] = {"run": "x", "host": "h", "started": moment, "seconds": 1.0, "outcome": "done"}
        attempt["exit_code"] = {2: 4, 3: 6, 5: None}.get(number, 0)
        entry = Entry(f"https://h/{number:05}", Reached(shot, Selection(), None, 7, lacking), moment, attempt)
        if number == 3:
            entry = replace(entry, reached=None, last_success=None)
        operations += [{"index": {"_id": state.identifier(entry.origin)}}, entry.to_json(state.index)]
    for start in range(0, len(operations), 2000):
        assert not state.client.bulk(index=state.name, operations=operations[start : start + 2000])["errors"]


def test_a_failure_does_not_hide_the_last_success(repository: Repository, tmp_path: Path, ingest: Run) -> None:
    repository.path.rename(tmp_path / "away")
    assert ingest("load", repository.path).returncode == 4
    (origin,) = json.loads(ingest("status", "--json").stdout)["origins"]
    assert (origin["commits"], origin["last_attempt"]["exit_code"]) == (5, 4)
    assert origin["last_success"] < origin["last_attempt"]["started"]
    (tmp_path / "away").rename(repository.path)
    # The index was not touched, so what was reached before still holds.
    assert ingest("load", repository.path).stdout.startswith("0 commits indexed")


def test_status_of_an_index_that_does_not_exist(ingest: Run, alias: str) -> None:
    assert ingest("status").stdout.startswith(f"There is no {alias} at ")


def test_verify_says_what_differs_and_repair_mends_it(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    done = ingest("verify")
    assert (done.returncode, done.stdout) == (0, f"{repository.path}: 5 equal, 0 different\n")
    before = documents(client, alias)
    lost, wrong, doubled = sorted(before)[:3]
    client.delete(index=alias, id=lost)
    client.update(index=alias, id=wrong, doc={"subject": "Something else", "lines_added": 7})
    client.index(index=alias, id="doubled", document=before[doubled])
    done = ingest("verify", repository.path)
    assert done.returncode == 3
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            f"missing {before[lost]['hash']}",
            f"differs {before[wrong]['hash']}: lines_added, subject",
            f"surplus {before[doubled]['hash']}",
            f"{repository.path}: 3 equal, 3 different",
        ]
    )
    done = ingest("verify", "--repair")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("3 different; 2 commits indexed, 1 deleted, 0 rejected")
    assert ingest("verify").returncode == 0
    assert ingest("load", repository.path).stdout.startswith("0 commits indexed")


@pytest.mark.slow
def test_hashes_that_git_abbreviates_less_in_a_repository_that_grew_are_the_same_to_verify(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 6000)
    repository.git("branch", "all")
    repository.git("reset", "--hard", "HEAD~5990")
    small = tmp_path / "small.git"
    repository.git("clone", "--quiet", "--bare", "--single-branch", f"file://{repository.path}", str(small))
    assert ingest("load", small).returncode == 0
    repository.git("push", "--quiet", str(small), "all")
    assert ingest("load", small).returncode == 0
    digits = {len(file["indexes"][1]) for each in documents(client, alias).values() for file in each["files"]}
    assert digits == {7, 8}
    done = ingest("verify")
    assert (done.returncode, done.stdout) == (0, f"{small}: 6,000 equal, 0 different\n")


def test_verify_leaves_no_trace(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    client.indices.refresh(index=f"{alias}-state")
    before = client.search(index=f"{alias}-state")["hits"]["hits"][0]["_source"]
    assert ingest("verify").returncode == 0
    client.indices.refresh(index=f"{alias}-state")
    assert client.search(index=f"{alias}-state")["hits"]["hits"][0]["_source"] == before


def test_a_quiet_run_says_nothing_unless_something_is_wrong(
    repository: Repository, tmp_path: Path, ingest: Run
) -> None:
    repository.commit("New")
    done = ingest("load", "--quiet", repository.path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = ingest("verify", INGEST_QUIET="true")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    one_line(ingest("load", "--quiet", tmp_path / "missing"), 4, "missing")


def test_log_lines_as_json(repository: Repository, tmp_path: Path, ingest: Run) -> None:
    repository.commit("New")
    done = ingest("load", "--log-format", "json", repository.path)
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["level"], line["origin"], line["indexed"], line["rejected"]) == ("info", str(repository.path), 2, 0)
    done = ingest("load", tmp_path / "missing", INGEST_LOG_FORMAT="json")
    (line,) = map(json.loads, done.stderr.splitlines())
    assert line["level"] == "error"
    assert "missing" in line["message"]


def test_who_comes_second_is_told_or_waits(
    tmp_path: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    home: Path,
    environment: dict[str, str],
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 3)
    command = [sys.executable, "-m", "ingest", "load", "--wait", str(repository.path)]
    with mirror.held(mirror.folder(home, Remote(str(repository.path)))):
        one_line(ingest("load", repository.path), 6, "Another run holds", "--wait")
        waiting = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        while not client.indices.exists(index=f"{alias}-state"):
            assert waiting.poll() is None
        assert waiting.poll() is None
    printed, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert printed.startswith("3 commits indexed")
    assert set(hashes(client, alias)) == repository.hashes()
