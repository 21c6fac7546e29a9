"""The README tells the truth: its commands are run, its tables compared with what they describe."""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import elasticsearch
import pytest

from ingest.index.document import mapping
from ingest.node import NodeInfo
from ingest.settings import Settings
from tests.conftest import Run
from tests.repository import Repository

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language in the README."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def loaded(tmp_path: Path, ingest: Run) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.commit("Add a fix", {"perceval/x.py": "x\n"})
    assert ingest("load", repository.path).returncode == 0
    return repository


def test_the_first_block_is_the_two_commands() -> None:
    assert blocks("console")[0].splitlines() == [
        "make ingest REPO=https://github.com/chaoss/grimoirelab-perceval",
        "make test",
    ]


@pytest.mark.usefixtures("loaded")
def test_the_curl_command_works(server: NodeInfo, alias: str) -> None:
    (command,) = (block for block in blocks("console") if block.startswith("curl"))
    command = command.replace("http://127.0.0.1:9200/commits", f"{server.url}/{alias}").replace("now-1y/y", "1970")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert '"key" : "Ada Lovelace"' in done.stdout


@pytest.mark.usefixtures("loaded")
def test_the_search_commands_work(ingest: Run, loaded: Repository) -> None:
    (block,) = (block for block in blocks("console") if "ingest search" in block)
    by, on_what, show = [line.removeprefix(".venv/bin/ingest ").split() for line in block.splitlines()]
    whenever = ("--since", "2001", "--until", "2001")
    assert ingest(*by[:-4], *whenever).stdout == "1\t1\t0\t2001-09-09\t2001-09-09\tAda Lovelace\n"
    assert ingest(*on_what[:-4], *whenever).stdout.startswith(f"{loaded.head()}\t2001-09-09")
    assert ingest(*show[:-1], loaded.head()[:8]).stdout.startswith(f"commit {loaded.head()}")


def test_the_python_example_works(environment: dict[str, str], alias: str, loaded: Repository) -> None:
    (code,) = blocks("python")
    command = [sys.executable, "-c", code.replace('"commits"', f'"{alias}"')]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{loaded.head()[:8]} Ada Lovelace Add a fix\n"


def test_what_you_then_see_is_what_is_printed(alias: str, ingest: Run, loaded: Repository) -> None:
    def form(text: str) -> str:
        return re.sub(r"\d+(?:[,.]\d+)*", "N", re.sub(r"http://[\d.]+:\d+", "URL", text))

    printed = ingest("load", loaded.path).stdout.replace(f" --index {alias}", "").replace(alias, "commits")
    assert form(printed.replace("  ingest", "  .venv/bin/ingest")) == form(blocks("text")[0])


def test_each_dependency_earns_its_line() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = declared["dependencies"] + declared["optional-dependencies"]["dev"]
    table = README.partition("## What it stands on")[2]
    for name in names:
        package = re.match(r"[a-z0-9-]+", name)
        assert package is not None
        assert re.sub("^types-.*", "types-*", package[0]) in table, name


def test_each_field_of_the_mapping_is_described() -> None:
    document = (ROOT / "docs" / "document.md").read_text()
    for field in mapping()["properties"]:
        assert re.search(rf"`{field}[`.]", document), field


def test_each_make_target_is_printed_by_make_alone() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    printed = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert targets
    for target in targets:
        assert f"make {target} " in printed


def test_make_says_what_is_missing(tmp_path: Path) -> None:
    """A copy of the Makefile on a machine whose Python is too old, and on one without git."""
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "make", "echo", "test"):
        found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
        if found.stdout.startswith("/"):
            (tools / tool).symlink_to(found.stdout.strip())
    old = tools / "python3"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.6.8\nexit 1\n')
    old.chmod(0o755)

    def complaint() -> str:
        done = subprocess.run(
            ["make", "ingest"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        return done.stderr

    assert "ingest needs git" in complaint()
    (tools / "git").symlink_to("/bin/true")
    assert "ingest needs Python 3.11 or later, found: Python 3.6.8" in complaint()


def test_settings_are_documented_in_the_order_of_their_definition() -> None:
    document = (ROOT / "docs" / "settings.md").read_text()
    places = [document.index(f"`{each.metadata['variable']}`") for each in fields(Settings)]
    assert places == sorted(places)


def test_the_client_speaks_to_the_server(client: elasticsearch.Elasticsearch) -> None:
    assert client.cluster.health()["status"] in ("green", "yellow")


def test_each_promise_of_security_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 5
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+)`", row)
        assert named, row
        assert all((ROOT / name).is_file() for name in named), row
