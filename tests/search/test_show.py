"""One commit, as git prints it."""

import re
from itertools import pairwise
from pathlib import Path

import elasticsearch
import pytest

from tests.conftest import Run
from tests.repository import Repository, of_every_kind
from tests.search.conftest import Look, commit
from tests.search.test_output import COMMAND
from tests.terminal import on_a_terminal
from tests.test_errors import one_line

LOG = ("log", "--no-walk", "--stat=80", "--format=fuller", "--decorate=full")


def git_shows(repository: Repository, commit: str) -> list[str]:
    """What git prints of a commit, without the graph, which it makes in another width."""
    text = repository.git("-c", "core.quotePath=false", *LOG, "--diff-merges=first-parent", commit)
    return [re.sub(r"(\| +\d+) .*", r"\1", line).rstrip() for line in text.splitlines()]


def ours(lines: list[str]) -> list[str]:
    """The same of ours, without the repositories."""
    return [re.sub(r"(\| +\d+) .*", r"\1", line) for line in lines if not line.startswith("Repository: ")]


@pytest.mark.parametrize("commit", ["main~1", "main", "main~2", "side", "main~4"])
def test_a_commit_is_shown_as_git_shows_it(look: Look, searched: Repository, commit: str) -> None:
    digits = searched.git("rev-parse", commit)
    expected = [line.replace("\x1b", "?") for line in git_shows(searched, digits)]
    lines, _ = look("show", digits[:10].upper())
    if "Merge: " not in "".join(expected):
        # What git writes around a rename, which Perceval leaves in a merge's names only.
        expected = [line.replace("{src => lib}/parser.py", "src/parser.py => lib/parser.py") for line in expected]
    assert ours(lines) == expected
    assert f"Repository: {searched.path}" in lines


def test_the_changes_are_drawn_and_coloured(environment: dict[str, str], searched: Repository) -> None:
    leak = searched.git("rev-parse", "main~3^{/memory leak}")
    _, text = on_a_terminal([*COMMAND, "show", leak], environment | {"TERM": "xterm-256color"}, columns=80)
    lines = text.splitlines()
    assert lines[0] == f"\x1b[33mcommit {leak}\x1b[0m"
    assert lines[-2] == f" src/parser.py | 65 \x1b[32m{'+' * 29}\x1b[0m\x1b[31m--\x1b[0m"
    assert lines[-1] == " 1 file changed, 60 insertions(+), 5 deletions(-)"


def test_a_commit_of_several_repositories_is_shown_once(
    ingest: Run, tmp_path: Path, client: elasticsearch.Elasticsearch
) -> None:
    one = Repository(tmp_path / "one")
    digits = commit(one, "A <a@example.org>", "2025-01-01T00:00:00+0000", "Same", {"a.txt": "a\n"})
    one.git("clone", "--quiet", str(one.path), str(tmp_path / "two"))
    one.git("tag", "only-here")
    alias = {"INGEST_INDEX": "ttwice"}
    assert ingest("load", one.path, tmp_path / "two", **alias).returncode == 0
    lines = ingest("show", digits, **alias).stdout.splitlines()
    assert lines[0] == f"commit {digits} (HEAD -> refs/heads/main, tag: refs/tags/only-here)"
    assert [line for line in lines if line.startswith("Repository")] == [
        f"Repository: {one.path}", f"Repository: {tmp_path / 'two'}"
    ]  # fmt: skip
    client.indices.delete(index=[*client.indices.get(index="ttwice*", expand_wildcards="all")])


def test_hashes_that_cannot_be_shown(ingest: Run) -> None:
    one_line(ingest("show", "abc"), 2, "'abc' is not a hash")
    one_line(ingest("show", "parser"), 2, "'parser' is not a hash")
    one_line(ingest("show", "0123456789"), 2, "holds no commit 0123456789")


def test_an_ambiguous_hash_names_the_candidates(
    ingest: Run, tmp_path: Path, client: elasticsearch.Elasticsearch
) -> None:
    repository = Repository(tmp_path / "many")
    repository.git("fast-import", "--quiet", stdin=b"".join(
        b"commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata <<END\nChange %d\nEND\n" % (n, n)
        for n in range(1, 2000)
    ))  # fmt: skip
    hashes = sorted(repository.hashes())
    one, other = next(pair for pair in pairwise(hashes) if pair[0][:4] == pair[1][:4])
    expected = [each for each in hashes if each.startswith(one[:4])]
    alias = {"INGEST_INDEX": "tmany"}
    assert ingest("load", repository.path, **alias).returncode == 0
    done = ingest("show", one[:4], **alias)
    assert (done.returncode, done.stdout) == (2, "")
    first, *candidates = done.stderr.splitlines()
    assert f"Several commits' hashes begin with {one[:4]}" in first
    assert [line.split()[0] for line in candidates] == expected
    assert other in expected
    client.indices.delete(index=[*client.indices.get(index="tmany*", expand_wildcards="all")])


def test_every_kind_of_commit_can_be_shown(look: Look, tmp_path: Path, client: elasticsearch.Elasticsearch) -> None:
    repository = of_every_kind(tmp_path / "kinds")
    look("load", str(repository.path), "--index", "tkinds")
    for digits in sorted(repository.hashes()):
        lines, _ = look("show", digits, "--index", "tkinds")
        assert lines[0].startswith(f"commit {digits}")
        assert "\x1b" not in "".join(lines)
    client.indices.delete(index=[*client.indices.get(index="tkinds*", expand_wildcards="all")])
