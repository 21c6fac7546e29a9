"""An index to search: a small repository whose every commit is known, and a second one."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import elasticsearch
import pytest

from ingest.cli import cli
from ingest.node import NodeInfo
from tests.repository import Repository

INDEX = "tsearched"
Search = Callable[..., list[str]]
Look = Callable[..., tuple[list[str], list[str]]]
LEAK = "".join(f"line {number}\n" for number in range(60))


def commit(repository: Repository, who: str, date: str, message: str, files: Mapping[str | bytes, str | None]) -> str:
    """Commit as somebody, at a time; give the hash."""
    name, _, email = who.partition(" <")
    repository.write(files)
    repository.git("add", "--all")
    people: Any = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
              for what, value in (("NAME", name), ("EMAIL", email.rstrip(">")), ("DATE", date))}  # fmt: skip
    repository.git("commit", "--quiet", "--allow-empty", f"--message={message}", **people)
    return repository.head()


def library(path: Path) -> Repository:
    """A repository with commits of four years, in several scripts, with a merge, a rename and an escape."""
    repository = Repository(path)
    ada, grace = "Ada Lovelace <ada@example.org>", "Grace Hopper <grace@Example.COM>"
    commit(repository, ada, "2023-03-01T12:00:00+0100", "Add the parser\n\nIt reads words.",
           {"src/parser.py": "one\n" * 5, "README.md": "read me\n"})  # fmt: skip
    commit(repository, "Élodie Brûlé <elodie@example.fr>", "2024-02-29T12:00:00+0000", "Fix memory leak in the parser",
           {"src/parser.py": LEAK})  # fmt: skip
    commit(repository, "山田 太郎 <taro@example.co.jp>", "2024-07-01T12:00:00+0900", "解析器を直す parsers",
           {"srcfoo/x.py": "x\n"})  # fmt: skip
    commit(repository, ada, "2024-12-31T23:59:59+0000", "Write a guide\n\nA leak of memory and a typo are described.",
           {"docs/guide.md": "guide\n"})  # fmt: skip
    repository.git("checkout", "--quiet", "-b", "side")
    commit(repository, grace, "2025-01-01T00:00:00+0000", "Move the parser",
           {"src/parser.py": None, "lib/parser.py": LEAK})  # fmt: skip
    repository.git("checkout", "--quiet", "main")
    commit(repository, "Eve \x1b[2J <eve@example.net>", "2025-03-01T00:00:00+0000", "Send \x1b[31m escapes and a fix",
           {"docs/guide.md": "guide\nfixed\n"})  # fmt: skip
    merged: Any = {f"GIT_{role}_DATE": "2025-06-01T00:00:00+0000" for role in ("AUTHOR", "COMMITTER")}
    repository.git("merge", "--quiet", "--no-ff", "--message=Merge side", "side", **merged)
    return repository


@pytest.fixture(scope="package")
def searched(
    server: NodeInfo, client: elasticsearch.Elasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Repository]:
    """The repository ``library``, loaded into INDEX together with one that is called ``other``."""
    folder = tmp_path_factory.mktemp("searched")
    repository, other = library(folder / "library"), Repository(folder / "other")
    commit(other, "Ada Lovelace <ada@example.org>", "2022-01-01T00:00:00+0000", "Begin", {"src/a.py": "a\n"})
    with pytest.MonkeyPatch.context() as patch:
        _set(patch, server, folder)
        assert cli.main(["load", "--project", "books", str(repository.path)], standalone_mode=False) == 0
        assert cli.main(["load", str(other.path)], standalone_mode=False) == 0
    yield repository
    client.indices.delete(index=[*client.indices.get(index=f"{INDEX}*", expand_wildcards="all")])


def _set(patch: pytest.MonkeyPatch, server: NodeInfo, home: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("ES_", "INGEST_", "GIT_"))]:
        patch.delenv(name)
    for name, value in (("ES_URL", server.url), ("INGEST_INDEX", INDEX), ("INGEST_HOME", str(home)),
                        ("INGEST_RETRY_FOR", "20s")):  # fmt: skip
        patch.setenv(name, value)


@pytest.fixture
def environment(environment: dict[str, str], searched: Repository) -> dict[str, str]:
    """What a user's shell would hold to look into INDEX."""
    return environment | {"INGEST_INDEX": INDEX}


@pytest.fixture
def look(
    searched: Repository, server: NodeInfo, home: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Look:  # fmt: skip
    """Run a command in this process, and give what it prints: lines of results, and of remarks."""
    assert searched
    _set(monkeypatch, server, home)

    def run(*arguments: str) -> tuple[list[str], list[str]]:
        assert cli.main([*arguments], standalone_mode=False) == 0
        printed = capsys.readouterr()
        return printed.out.splitlines(), printed.err.splitlines()

    return run


@pytest.fixture
def search(look: Look) -> Search:
    """Run ``ingest search`` in this process, and give the lines of results."""
    return lambda *arguments: look("search", *arguments)[0]
