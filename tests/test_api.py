"""What notebooks use, and that docs/python.md tells the truth."""

import doctest
import os
import re
import sys
from pathlib import Path

import pytest

from ingest import api
from ingest.errors import UsageError
from tests import example
from tests.repository import of_every_kind


@pytest.fixture
def notebook(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of a notebook."""
    for name in [name for name in os.environ if name.startswith(("ES_", "INGEST_", "GIT_"))]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("notebook")
def test_the_examples_of_the_page_are_what_is_printed(
    alias: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.make(tmp_path / "example")
    page = (example.ROOT / "docs" / "python.md").read_text()
    session = "".join(re.findall(r"```pycon\n(.*?)```", page, flags=re.DOTALL))
    session = session.replace(example.PLACE, str(tmp_path / "example")).replace('"commits"', f'"{alias}"')
    test = doctest.DocTestParser().get_doctest(session, {}, "python.md", "docs/python.md", 0)
    # Pandas ends lines with spaces.
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert results.attempted > 20
    assert results.failed == 0, capsys.readouterr().out


@pytest.mark.usefixtures("notebook")
def test_every_kind_of_commit_is_a_row(tmp_path: Path) -> None:
    repository = of_every_kind(tmp_path / "repository")
    assert api.load(str(repository.path)).indexed == len(repository.hashes())
    frame = api.commits()
    assert sorted(frame["hash"]) == sorted(repository.hashes())
    assert frame.commit_date.is_monotonic_decreasing
    log = repository.git("log", "--branches", "--tags", "--no-walk=unsorted", "--format=%H %at %P", *frame["hash"])
    told = {line.split()[0]: line.split()[1:] for line in log.splitlines()}
    known = frame[frame.subject.ne("Who") & ~frame.subject.str.startswith("Date")]
    assert [int(each.timestamp()) for each in known.author_date] == [int(told[each][0]) for each in known["hash"]]
    assert list(frame.is_merge) == [len(told[each]) > 2 for each in frame["hash"]]


@pytest.mark.usefixtures("notebook")
def test_a_frame_of_nothing_has_the_same_columns(tmp_path: Path) -> None:
    example.make(tmp_path / "example")
    api.load(str(tmp_path / "example"))
    nothing, everything = api.commits("nothing"), api.commits()
    assert len(nothing) == 0
    assert nothing.dtypes.equals(everything.dtypes)
    assert len(api.commits(limit=5)) == 5
    assert list(api.commits(author=["grace", "zoé"], repo="example", since="2025").author_name) == [
        "Zoé Müller", "Grace Hopper"
    ]  # fmt: skip


@pytest.mark.usefixtures("notebook")
def test_an_index_that_does_not_exist() -> None:
    with pytest.raises(UsageError, match="t-none does not exist"):
        api.commits(index="t-none")


def test_without_pandas_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"no pandas here.*ingest\[notebook\]"):
        api._frame(iter(()))
