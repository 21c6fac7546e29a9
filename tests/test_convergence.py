"""After every run the index equals the repository, whatever happened before."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import elasticsearch
import pytest

from ingest.git import mirror
from ingest.git.history import Selection
from ingest.git.remote import Remote
from ingest.index import manage
from ingest.index.document import mapping
from ingest.index.state import Reached, State
from tests.conftest import Run
from tests.documents import assert_equal_to_perceval, counted, documents, hashes
from tests.repository import Repository, linear

SUMMARY = "{} commits indexed, {}0 rejected in "


class World(NamedTuple):
    """A repository that was loaded, and the index that it was loaded into."""

    repository: Repository
    client: elasticsearch.Elasticsearch
    alias: str
    mirror: Path
    run: Run

    @property
    def origin(self) -> str:
        return str(self.repository.path)

    def load(self, *options: str) -> str:
        """Load it, and give the summary's first words: what was done."""
        done = self.run("load", *options, self.origin)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.split(" in ")[0]

    def check(self, project: str | None = None) -> None:
        """The index is what Perceval makes of the repository."""
        assert set(hashes(self.client, self.alias)) == self.repository.hashes()
        assert_equal_to_perceval(self.client, self.alias, self.mirror, self.origin, project=project)


@pytest.fixture
def world(tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run) -> World:
    repository = Repository(tmp_path / "repository")
    for number in range(4):
        repository.commit(f"Change {number}", {"a": f"{number}\n"})
    repository.git("branch", "side", "HEAD~2")
    repository.git("tag", "v1", "HEAD~1")
    place = mirror.folder(home, Remote(str(repository.path)))
    world = World(repository, client, alias, place, ingest)
    assert world.load() == "4 commits indexed, 0 rejected"
    world.check()
    return world


def test_nothing_new_writes_nothing(world: World) -> None:
    before = documents(world.client, world.alias)
    assert world.load() == "0 commits indexed, 0 rejected"
    assert documents(world.client, world.alias) == before


def test_new_commits_and_the_refs_that_they_move(world: World) -> None:
    world.repository.commit("New", {"a": "new\n"})
    # The commit that HEAD and main pointed to has no refs any more.
    assert world.load() == "2 commits indexed, 0 rejected"
    world.check()


def test_a_force_push(world: World) -> None:
    world.repository.git("reset", "--quiet", "--hard", "HEAD~3")
    world.repository.commit("Another way", {"b": "1\n"})
    world.repository.git("tag", "-f", "v1")
    # The first and the third commit lose, or had, refs of their own; the others are gone.
    done = world.load()
    assert done.endswith("2 deleted, 0 rejected")
    world.check()


def test_history_rewritten_from_the_root(world: World) -> None:
    world.repository.git("checkout", "--quiet", "--orphan", "fresh")
    world.repository.commit("Root", {"x": "1\n"})
    for ref in ("main", "side"):
        world.repository.git("branch", "--force", ref, "fresh")
    world.repository.git("tag", "-d", "v1")
    assert world.load() == "1 commits indexed, 4 deleted, 0 rejected"
    world.check()


def test_deleted_branches_and_tags(world: World) -> None:
    world.repository.git("checkout", "--quiet", "side")
    world.repository.commit("Only here", {"s": "1\n"})
    assert world.load() == "2 commits indexed, 0 rejected"
    world.repository.git("checkout", "--quiet", "main")
    world.repository.git("branch", "-D", "side")
    world.repository.git("tag", "-d", "v1")
    assert world.load() == "1 commits indexed, 1 deleted, 0 rejected"
    world.check()


def test_a_new_tag_and_a_moved_branch_write_their_commits_again(world: World) -> None:
    world.repository.git("tag", "-a", "-m", "x", "v2", "HEAD~3")
    world.repository.git("branch", "--force", "side", "HEAD~3")
    assert world.load() == "2 commits indexed, 0 rejected"
    world.check()


def test_another_default_branch(world: World) -> None:
    world.repository.git("branch", "--move", "main", "trunk")
    world.repository.git("checkout", "--quiet", "trunk")
    world.load()
    world.check()
    (tip,) = (each for each in documents(world.client, world.alias).values() if "refs/heads/trunk" in each["refs"])
    assert tip["refs"] == ["HEAD", "refs/heads/trunk"]


def test_a_mailmap_changes_names_of_old_commits(world: World) -> None:
    world.repository.commit("Names", {".mailmap": "Countess Lovelace <ada@example.org>\n"})
    assert world.load() == "5 commits indexed, 0 rejected"
    world.check()
    names = {each["author"]["name"] for each in documents(world.client, world.alias).values()}
    assert names == {"Countess Lovelace"}
    world.repository.commit("No names", {".mailmap": None})
    assert world.load() == "6 commits indexed, 0 rejected"
    world.check()


def test_a_mirror_that_was_deleted(world: World) -> None:
    world.repository.git("reset", "--quiet", "--hard", "HEAD~1")
    world.repository.commit("Another way", {"b": "1\n"})
    shutil.rmtree(world.mirror)
    world.load()
    world.check()


def test_an_index_that_was_deleted(world: World) -> None:
    world.client.indices.delete(index=list(world.client.indices.get_alias(name=world.alias)))
    assert world.load() == "4 commits indexed, 0 rejected"
    world.check()


def test_documents_that_were_deleted(world: World) -> None:
    identifier = next(iter(documents(world.client, world.alias)))
    world.client.delete(index=world.alias, id=identifier)
    assert world.load() == "1 commits indexed, 0 rejected"
    world.check()


def test_documents_that_somebody_added(world: World) -> None:
    source = next(iter(documents(world.client, world.alias).values()))
    world.client.index(index=world.alias, id="foreign", document=source)
    assert world.load() == "0 commits indexed, 1 deleted, 0 rejected"
    world.check()


def test_a_state_that_was_deleted(world: World) -> None:
    world.repository.commit("New", {"a": "new\n"})
    world.repository.git("branch", "-D", "side")
    world.client.indices.delete(index=f"{world.alias}-state")
    # The new one, the one that lost HEAD and main, and the one that lost side.
    assert world.load() == "3 commits indexed, 0 rejected"
    world.check()
    assert world.load() == "0 commits indexed, 0 rejected"


def test_other_branches_are_a_new_selection(world: World) -> None:
    world.repository.git("checkout", "--quiet", "side")
    world.repository.commit("Only here", {"s": "1\n"})
    world.load()
    assert world.load("--branch", "main") == "0 commits indexed, 1 deleted, 0 rejected"
    assert hashes(world.client, world.alias) == sorted(world.repository.git("rev-list", "main").split())
    assert world.load("--branch", "main") == "0 commits indexed, 0 rejected"
    assert world.load() == "1 commits indexed, 0 rejected"
    world.check()


def test_dates_select_by_commit_date_with_both_ends_included(world: World) -> None:
    log = world.repository.git("log", "--format=%ct %H", "main")
    dates = [line.split() for line in log.splitlines()]
    (_, newest), (until, third), (since, second), _ = dates
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(date))) for date in (since, until)]
    selected = ("--since", stamps[0], "--until", stamps[1])
    assert world.load(*selected) == "0 commits indexed, 2 deleted, 0 rejected"
    assert hashes(world.client, world.alias) == sorted([second, third])
    world.repository.commit("Too late")
    assert world.load(*selected) == "0 commits indexed, 0 rejected"
    world.load()
    world.check()
    assert newest in hashes(world.client, world.alias)


def test_another_project_labels_every_document_again(world: World) -> None:
    assert world.load("--project", "Analytics") == "4 commits indexed, 0 rejected"
    world.check("Analytics")
    assert world.load() == "4 commits indexed, 0 rejected"
    world.check()


def test_other_repositories_in_the_index_stay_as_they_are(world: World, tmp_path: Path) -> None:
    other = linear(tmp_path / "other", 3)
    assert world.run("load", other.path).returncode == 0
    world.repository.git("reset", "--quiet", "--hard", "HEAD~2")
    world.repository.git("tag", "-d", "v1")
    world.load()
    assert set(hashes(world.client, world.alias)) == world.repository.hashes() | other.hashes()


def test_a_shallow_source_that_is_deepened(tmp_path: Path, world: World) -> None:
    shallow = tmp_path / "shallow.git"
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", "--depth=2", f"file://{world.repository.path}", str(shallow)], check=True
    )
    place = tmp_path / "mirror.git"
    assert world.run("load", "--gitpath", str(place), "--index", f"{world.alias}-2", shallow).returncode == 0
    assert_equal_to_perceval(world.client, f"{world.alias}-2", place, str(shallow))
    subprocess.run(
        ["git", "fetch", "--quiet", "--depth=3", f"file://{world.repository.path}", "main"], cwd=shallow, check=True
    )
    assert world.run("load", "--gitpath", str(place), "--index", f"{world.alias}-2", shallow).returncode == 0
    assert_equal_to_perceval(world.client, f"{world.alias}-2", place, str(shallow))


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_in_the_middle_is_completed_by_the_next(
    number: signal.Signals, tmp_path: Path, world: World, environment: dict[str, str]
) -> None:
    repository = linear(tmp_path / "longer", 2000)
    longer = world._replace(
        repository=repository, mirror=mirror.folder(Path(environment["INGEST_HOME"]), Remote(str(repository.path)))
    )
    command = [sys.executable, "-m", "ingest", "load", "--chunk-size", "10", longer.origin]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, process_group=0) as process:
        while counted(world.client, world.alias) < 5:
            assert process.poll() is None
        (process.send_signal if number == signal.SIGTERM else lambda each: os.killpg(process.pid, each))(number)
    repository.git("tag", "since-then", "HEAD~1999")
    longer.load()
    origins = {each["origin"] for each in documents(world.client, world.alias).values()}
    assert origins == {world.origin, longer.origin}
    assert set(hashes(world.client, world.alias)) == repository.hashes() | world.repository.hashes()
    (tagged,) = (
        each for each in documents(world.client, world.alias).values() if "refs/tags/since-then" in each["refs"]
    )
    assert tagged["hash"] == repository.git("rev-parse", "HEAD~1999")


def test_commits_that_are_lacking_are_tried_again_by_each_run_and_listed_once(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("1")
    repository.commit("Not a number")
    narrow = mapping()
    narrow["properties"]["message"] = {"type": "integer"}
    client.indices.create(index=f"{alias}-narrow", mappings=narrow, aliases={alias: {}})
    done = ingest("load", repository.path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (3, "1 commits indexed, 1 rejected")
    done = ingest("load", repository.path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (3, "0 commits indexed, 1 rejected")
    assert "1 commits are still lacking" in done.stderr
    assert len(list((home / "rejects").iterdir())) == 1
    client.indices.put_mapping(index=alias, properties={"message": {"type": "integer", "ignore_malformed": True}})
    done = ingest("load", repository.path)
    assert (done.returncode, done.stdout.split(" in ")[0]) == (0, "1 commits indexed, 0 rejected")
    assert set(hashes(client, alias)) == repository.hashes()


@pytest.fixture
def state(client: elasticsearch.Elasticsearch, alias: str) -> State:
    state = State(client, alias, manage.prepare(client, alias), 5)
    state.create()
    return state


def reached(commits: int) -> Reached:
    return Reached(None, Selection(), None, commits, frozenset())


def test_of_two_runs_on_two_hosts_the_second_to_end_notices(state: State) -> None:
    with state.attempt("o", "here") as one, state.attempt("o", "there") as two:
        assert (one.sure, two.sure) == (True, False)
        assert two.finish(reached(2), 0)
        assert not one.finish(reached(1), 0)
        one.begin_again()
        assert not one.sure
        assert one.finish(reached(1), 0)


@pytest.mark.slow
def test_of_two_hosts_the_slower_does_not_undo_what_the_faster_did(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str], ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 200)
    command = [sys.executable, "-m", "ingest", "load", "--chunk-size", "1", str(repository.path)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as slower:
        while counted(client, alias) < 5:
            assert slower.poll() is None
        slower.send_signal(signal.SIGSTOP)
        repository.git("reset", "--quiet", "--hard", "HEAD~100")
        repository.commit("Another way")
        repository.git("tag", "v1", "HEAD~50")
        other = tmp_path / "other"
        assert ingest("load", repository.path, INGEST_HOME=str(other)).returncode == 0
        slower.send_signal(signal.SIGCONT)
        _, complaint = slower.communicate(timeout=120)
    assert slower.returncode == 0, complaint
    origin = str(repository.path)
    assert set(hashes(client, alias)) == repository.hashes()
    assert_equal_to_perceval(client, alias, mirror.folder(other, Remote(origin)), origin)
    assert ingest("load", origin, INGEST_HOME=str(other)).stdout.startswith("0 commits indexed, 0 rejected")


def test_a_run_that_was_killed_leaves_the_next_one_unsure_until_it_has_looked(state: State) -> None:
    killed = state.attempt("o", "here")
    killed.__enter__()
    with state.attempt("o", "here") as attempt:
        assert not attempt.sure
        assert attempt.finish(reached(1), 0)
    with state.attempt("o", "here") as attempt:
        assert attempt.sure
        assert attempt.entry.reached == reached(1)
