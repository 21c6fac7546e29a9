"""Long random sequences of what happens to repositories and indices; after each run both are compared, whole."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import elasticsearch
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.node import NodeInfo
from tests.documents import assert_equal_to_perceval, documents
from tests.repository import Repository

BRANCHES = st.sampled_from(["main", "side", "topic/one"])
TAGS = st.sampled_from(["v1", "v2", "v3"])
NUMBERS = st.integers(0, 1 << 30)


class Years(RuleBasedStateMachine):
    """A repository, its index, and all that may happen to them."""

    client: elasticsearch.Elasticsearch
    url: str

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ingest-years-"))
        self.alias = f"years-{self.folder.name.rpartition('-')[2].replace('_', 'x').lower()}"
        self.repository = Repository(self.folder / "repository")
        self.repository.commit("First", {"a": "1\n"})
        self.origin = str(self.repository.path)
        self.home = self.folder / "home"
        self.branch: str | None = None
        self.project: str | None = None
        self.load()

    def teardown(self) -> None:
        indices = self.client.indices.get(index=f"{self.alias}*", expand_wildcards="all")
        if indices:
            self.client.indices.delete(index=list(indices))
        shutil.rmtree(self.folder)

    # What happens to the repository.

    def git(self, *arguments: str) -> str:
        return self.repository.git(*arguments)

    def commits(self) -> list[str]:
        return self.git("rev-list", "--branches", "--tags").split()

    def chosen(self, number: int) -> str:
        commits = self.commits()
        return commits[number % len(commits)]

    @rule(branch=BRANCHES, number=NUMBERS, count=st.integers(1, 4))
    def commit(self, branch: str, number: int, count: int) -> None:
        self.git("checkout", "--quiet", "--force", "-B", branch, *self._start_of(branch))
        for each in range(count):
            self.repository.commit(f"Change {number}", {f"file-{number % 5}": f"{number + each}\n"})

    def _start_of(self, branch: str) -> list[str]:
        exists = f"refs/heads/{branch}" in self.git("for-each-ref", "--format=%(refname)").split()
        return [f"refs/heads/{branch}"] if exists else []

    @rule(number=NUMBERS)
    def merge(self, number: int) -> None:
        self.repository.clock += 60
        self.git(
            "merge",
            "--quiet",
            "--no-ff",
            "--allow-unrelated-histories",
            "-X",
            "ours",
            "-m",
            "Merge",
            self.chosen(number),
        )

    @rule(branch=BRANCHES, number=NUMBERS)
    def force_push(self, branch: str, number: int) -> None:
        self.git("checkout", "--quiet", "--force", "-B", branch, self.chosen(number))

    @rule(branch=BRANCHES)
    def rewrite_from_the_root(self, branch: str) -> None:
        self.git("checkout", "--quiet", "--orphan", "fresh")
        self.repository.commit("Root", {"root": f"{self.repository.clock}\n"})
        self.git("checkout", "--quiet", "-B", branch)
        self.git("branch", "-D", "fresh")

    @rule(branch=BRANCHES)
    def delete_a_branch(self, branch: str) -> None:
        if self.git("branch", "--show-current") != branch and self._start_of(branch):
            self.git("branch", "-D", branch)

    @rule(tag=TAGS, number=NUMBERS, annotated=st.booleans())
    def tag(self, tag: str, number: int, annotated: bool) -> None:
        self.git("tag", "--force", *(("-a", "-m", "x") if annotated else ()), tag, self.chosen(number))

    @rule(tag=TAGS)
    def delete_a_tag(self, tag: str) -> None:
        if tag in self.git("tag").split():
            self.git("tag", "-d", tag)

    @rule(name=st.sampled_from(["Countess", "Lady Lovelace", None]))
    def mailmap(self, name: str | None) -> None:
        there = (self.repository.path / ".mailmap").exists()
        if name is not None or there:
            self.repository.commit("Names", {".mailmap": name and f"{name} <ada@example.org>\n"})

    @rule()
    def forget_what_is_unreachable(self) -> None:
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("gc", "--quiet", "--prune=now")

    # What happens to the mirror, the index and the state.

    @precondition(lambda self: self.place.exists())
    @rule()
    def lose_the_mirror(self) -> None:
        shutil.rmtree(self.place)

    @precondition(lambda self: self.place.exists())
    @rule()
    def clean_the_mirror(self) -> None:
        subprocess.run(["git", "gc", "--quiet", "--prune=now"], cwd=self.place, check=True)

    @precondition(lambda self: self._indexed())
    @rule()
    def lose_the_index(self) -> None:
        self.client.indices.delete(index=list(self.client.indices.get_alias(name=self.alias)))

    @rule()
    def lose_the_state(self) -> None:
        self.client.indices.delete(index=f"{self.alias}-state", ignore_unavailable=True)

    @precondition(lambda self: self._indexed())
    @rule(number=NUMBERS, count=st.integers(1, 3))
    def lose_documents(self, number: int, count: int) -> None:
        identifiers = sorted(documents(self.client, self.alias))
        for identifier in random.Random(number).sample(identifiers, min(count, len(identifiers))):
            self.client.delete(index=self.alias, id=identifier)

    def _indexed(self) -> bool:
        return bool(self.client.indices.exists_alias(name=self.alias))

    # What users do.

    @rule(project=st.sampled_from([None, "One", "Two"]))
    def change_the_label(self, project: str | None) -> None:
        self.project = project

    @rule(branch=st.one_of(st.none(), BRANCHES))
    def select_a_branch(self, branch: str | None) -> None:
        self.branch = branch

    @rule(number=NUMBERS)
    def kill_a_run(self, number: int) -> None:
        with self._started("load", *self._options(), "--chunk-size", "1", self.origin) as process:
            try:
                process.wait(0.4 + number % 1000 / 1000)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)

    @rule()
    def load(self) -> None:
        self._run("load", *self._options(), self.origin)
        self._check()

    @precondition(lambda self: self._indexed())
    @rule()
    def reindex(self) -> None:
        # The label and the branch of the last successful load are those of the new index.
        self._run("load", *self._options(), self.origin)
        self._run("reindex")
        self._check()
        self._run("verify")

    @property
    def place(self) -> Path:
        return mirror.folder(self.home, Remote(self.origin))

    def _options(self) -> list[str]:
        if self.branch is not None and not self._start_of(self.branch):
            self.branch = None
        chosen = {"--project": self.project, "--branch": self.branch}
        return [part for name, value in chosen.items() if value is not None for part in (name, value)]

    def _check(self) -> None:
        branches = None if self.branch is None else [self.branch]
        selected = self.commits() if branches is None else self.git("rev-list", *branches).split()
        assert {each["hash"] for each in documents(self.client, self.alias).values()} == set(selected)
        assert_equal_to_perceval(
            self.client, self.alias, self.place, self.origin, project=self.project, branches=branches
        )

    def _run(self, *arguments: str) -> None:
        with self._started(*arguments) as process:
            _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint

    def _started(self, *arguments: str) -> "subprocess.Popen[str]":
        kept = {name: each for name, each in os.environ.items() if not name.startswith(("ES_", "INGEST_", "GIT_"))}
        ours = {
            "ES_URL": self.url,
            "INGEST_INDEX": self.alias,
            "INGEST_HOME": str(self.home),
            "INGEST_RETRY_FOR": "20s",
        }
        command = [sys.executable, "-m", "ingest", *arguments]
        return subprocess.Popen(
            command, env=kept | ours, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
        )


@pytest.fixture
def machine(server: NodeInfo, client: elasticsearch.Elasticsearch) -> type[Years]:
    return type("OnThisServer", (Years,), {"client": client, "url": server.url})


def run(machine: type[Years], **limits: Any) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    # A failure is told as it was met: to look for a shorter one would take many more runs.
    run_state_machine_as_test(
        machine, settings=settings(deadline=None, phases=[Phase.generate], suppress_health_check=checks, **limits)
    )


def test_the_index_equals_the_repository_after_every_run(machine: type[Years]) -> None:
    run(machine, max_examples=4, stateful_step_count=25, derandomize=True)


@pytest.mark.slow
def test_the_index_equals_the_repository_after_every_run_of_many_more(machine: type[Years]) -> None:
    run(machine, max_examples=12, stateful_step_count=50)
