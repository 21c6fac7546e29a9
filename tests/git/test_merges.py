"""What merges show of renames, told from two small searches instead of git's large one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from ingest.git import merges
from ingest.git.log import FIRST_PARENT, WHOLE, combined, log, spliced
from ingest.git.merges import Unsettled, settled
from tests.git.repositories import History, Tree, git, text

LIMIT = 1000
BASE: Tree = {"kept": text("kept"), "old": text("old"), "other": text("other")}


def built(tmp_path: Path, one: Tree, two: Tree, merged: Tree) -> tuple[Path, str]:
    """A merge of two commits with these trees, and its hash."""
    history = History()
    root = history.commit(BASE)
    history.commit(merged, [history.commit(one, [root]), history.commit(two, [root])])
    mirror = history.build(tmp_path / "mirror.git")
    return mirror, git(mirror, "rev-list", "--merges", "--all").strip()


def lines_of(mirror: Path, merge: str, limit: int = LIMIT) -> list[str]:
    found = combined(mirror, [merge])
    assert merge in found.unsettled
    return settled(mirror, merge, found.parents[merge], found.lines[merge], limit)


def changed(tree: Tree, **files: bytes) -> Mapping[str, bytes]:
    return {**{path: entry for path, entry in tree.items() if isinstance(entry, bytes)}, **files}


CASES = {
    "an added file that nothing resembles": (
        changed(BASE, new=text("new", changed=[1])), BASE, changed(BASE, new=text("new", changed=[2])), "MA"
    ),
    "a copy of a file that was changed": (
        changed(BASE, new=text("kept", changed=[1, 2])),
        changed(BASE, kept=text("kept", changed=[9])),
        changed(BASE, kept=text("kept", changed=[7]), new=text("kept", changed=[1, 3])),
        "MC",
    ),
    "a rename that nobody else could claim": (
        {"kept": BASE["kept"], "other": BASE["other"], "new": text("old", changed=[1])},
        BASE,
        {"kept": BASE["kept"], "other": BASE["other"], "new": text("old", changed=[1, 2])},
        "MR",
    ),
    "a file deleted against both parents": (BASE, changed(BASE, more=b"1\n"), {"kept": BASE["kept"]}, "DD"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "two", "merged", "letters"), CASES.values(), ids=CASES.keys())
def test_is_told_as_git_tells_it(one: Tree, two: Tree, merged: Tree, letters: str, tmp_path: Path) -> None:
    mirror, merge = built(tmp_path, one, two, merged)
    lines = lines_of(mirror, merge)
    assert letters in {line.partition("\t")[0].rpartition(" ")[2] for line in lines}
    whole = list(log(mirror, WHOLE, [merge]))
    assert list(spliced(log(mirror, FIRST_PARENT, [merge]), {merge: lines})) == whole


def test_a_rename_that_another_file_could_claim_is_left_to_git(tmp_path: Path) -> None:
    rest = {"kept": BASE["kept"], "other": BASE["other"]}
    one = {**rest, "new": text("old", changed=[1]), "rival": text("old", changed=[3])}
    merged = {**rest, "new": text("old", changed=[1, 2]), "rival": text("old", changed=[3])}
    mirror, merge = built(tmp_path, one, BASE, merged)
    with pytest.raises(Unsettled):
        lines_of(mirror, merge)


def test_a_deleted_file_that_a_new_one_resembles_is_left_to_git(tmp_path: Path) -> None:
    merged = {"kept": BASE["kept"], "other": BASE["other"], "new": text("old", changed=[1])}
    mirror, merge = built(tmp_path, BASE, changed(BASE, more=b"1\n"), merged)
    with pytest.raises(Unsettled):
        lines_of(mirror, merge)


def test_where_gits_limit_on_renames_may_be_reached_git_has_the_word(tmp_path: Path) -> None:
    one, two, merged, _ = CASES["a copy of a file that was changed"]
    mirror, merge = built(tmp_path, one, two, merged)
    assert lines_of(mirror, merge, limit=1)
    with pytest.raises(Unsettled):
        lines_of(mirror, merge, limit=0)


def test_leaving_files_out_finds_what_naming_the_others_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, merged, _ = CASES["a rename that nobody else could claim"]
    mirror, merge = built(tmp_path, one, two, merged)
    named = lines_of(mirror, merge)
    monkeypatch.setattr(merges, "_MANY", 0)
    assert lines_of(mirror, merge) == named
