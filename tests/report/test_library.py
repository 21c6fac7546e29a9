"""The script that draws the charts."""

from pathlib import Path

import pytest

from ingest.report.library import library
from tests.report.conftest import LIBRARY


def test_it_is_put_together_once(tmp_path: Path) -> None:
    script = library(LIBRARY)
    assert "vegaEmbed" in script
    assert "</script" not in script
    (kept,) = LIBRARY.iterdir()
    (tmp_path / kept.name).write_text("kept")
    assert library(tmp_path) == "kept"


@pytest.mark.slow
def test_it_is_put_together_where_it_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    # Not by ==, whose account of a difference would be a megabyte.
    assert hash(library(tmp_path / "file" / "folder")) == hash(library(LIBRARY))
    (tmp_path / "file").unlink()
    assert hash(library(tmp_path / "folder")) == hash(library(LIBRARY))
    assert [path.name for path in (tmp_path / "folder").iterdir()] == [path.name for path in LIBRARY.iterdir()]
