"""``ingest report``, as it is called."""

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import elasticsearch
import pytest

from ingest.report import file
from tests.conftest import Run
from tests.report.conftest import Show
from tests.repository import Repository, linear
from tests.test_errors import one_line

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path, ingest: Run) -> Repository:
    repository = linear(tmp_path / "repository", 5)
    assert ingest("load", repository.path).returncode == 0
    return repository


def test_the_page_is_one_file_that_asks_for_nothing(
    repository: Repository, tmp_path: Path, alias: str, ingest: Run, show: Show
) -> None:
    out = tmp_path / "out.html"
    out.write_text("what was there before")
    done = ingest("report", "--out", out, "--title", "Our <b>work</b>")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out} shows 5 commits of 1 repository. Open it in a browser: {out.as_uri()}\n"
    assert [path.name for path in out.parent.glob("*out.html*")] == ["out.html"]
    shown = show(out)
    assert (shown.said, shown.requested) == ([], [out.as_uri()])
    assert shown.text("h1") == "Our <b>work</b>"
    assert shown.numbers()["Commits"] == "5"
    assert shown.table("authors") == [["Ada", "5"]]
    assert f"index {alias}" in shown.text("footer")
    to_standard_output = ingest("report", "--out", "-", "--title", "Our <b>work</b>", "--repo", repository.path)
    assert len(to_standard_output.stdout) == len(out.read_text())


def test_an_index_without_commits_makes_a_page_that_says_so(
    repository: Repository, tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run, show: Show
) -> None:
    for hit in client.search(index=alias, size=10)["hits"]["hits"]:
        client.delete(index=alias, id=hit["_id"], refresh=True)
    assert ingest("report", "--out", tmp_path / "out.html").returncode == 0
    shown = show(tmp_path / "out.html")
    assert f"There are no commits to show: the index {alias} holds none." in shown.text("main")
    assert shown.said == []
    one_line(ingest("report", "--out", "-", "--repo", repository.path), 2, "holds no commit of", "ingest status")


def test_an_index_that_does_not_exist_is_said_to_be_missing(alias: str, ingest: Run) -> None:
    one_line(ingest("report", "--out", "-"), 2, f"{alias} does not exist", "make ingest")


@pytest.mark.parametrize(
    ("out", "words"), [("missing/out.html", "there is no folder"), (".", "no file"), ("/dev/null", "no file")]
)
def test_what_cannot_be_written_is_one_line(out: str, words: str, tmp_path: Path, ingest: Run) -> None:
    one_line(ingest("report", "--out", tmp_path / out), 2, "cannot be written", words)
    assert Path(os.devnull).is_char_device()


def test_the_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to("real.html")
    before = os.umask(0o027)
    try:
        file.write(tmp_path / "link.html", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "real.html").stat().st_mode) == 0o640
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "link.html").read_text() == "text"


@pytest.mark.usefixtures("repository")
def test_make_report_makes_it(tmp_path: Path, environment: dict[str, str]) -> None:
    out = tmp_path / "with space.html"
    variables = {name: value for name, value in environment.items() if not name.startswith("MAKE")}
    subprocess.run(["make", "report", f"OUT={out}"], cwd=ROOT, env=variables, capture_output=True, check=True)
    assert "<title>Commits of" in out.read_text()


def test_make_browser_says_what_to_do_where_it_cannot_install_one(tmp_path: Path) -> None:
    for tool in ("sh", "test", "echo"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    command = [str(shutil.which("make")), "browser", "PYTHON=python3"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert "need Chromium" in done.stderr
    assert "INGEST_BROWSER" in done.stderr


@pytest.mark.slow
def test_the_package_holds_all_that_the_page_is_made_of(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--quiet")
    subprocess.run([*build, "--wheel-dir", tmp_path, ROOT], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"ingest/report/{path.name}" for path in (ROOT / "ingest" / "report").iterdir() if path.is_file()} <= names
