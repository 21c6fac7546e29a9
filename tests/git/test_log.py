"""The text of git's log: what it depends on, and logs that were saved."""

from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perceval.backends.core.git import Git as PercevalGit

from ingest.errors import RepositoryRefusedError
from ingest.git.log import WHOLE, combined, log
from ingest.git.perceval import Git, read_log
from tests.git.items import ORIGIN, Item, ours, perceval, without_timestamp
from tests.git.repositories import HARD_CASES, History, hashes

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def test_configuration_and_environment_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = HARD_CASES["odd paths, messages, names and dates"]().build(tmp_path / "mirror.git")
    expected = perceval(mirror)
    (tmp_path / "attributes").write_text("* -diff\n")
    (tmp_path / ".gitconfig").write_text(
        "[core]\nabbrev = 40\nquotePath = false\n"
        f"attributesFile = {tmp_path / 'attributes'}\n"
        "[diff]\nrenames = false\nrenameLimit = 1\nalgorithm = patience\n"
        "[log]\ndate = iso\nshowSignature = true\nmailmap = false\nshowRoot = false\nfollow = true\n"
        "[i18n]\nlogOutputEncoding = latin1\n[notes]\ndisplayRef = *\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "log.date")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "iso")
    assert ours(mirror) == expected


def test_merges_with_files_of_another_type_are_left_to_the_whole_command(tmp_path: Path) -> None:
    mirror = HARD_CASES["type changes"]().build(tmp_path / "mirror.git")
    merge = hashes(mirror)[-1]
    assert combined(mirror, hashes(mirror)).unsettled == {merge}


def test_merges_whose_files_all_have_are_settled_without_renames(tmp_path: Path) -> None:
    mirror = HARD_CASES["a merge with conflicts"]().build(tmp_path / "mirror.git")
    merge = hashes(mirror)[-1]
    merges = combined(mirror, hashes(mirror))
    assert merges.unsettled == set()
    assert [line.split()[-2:] for line in merges.lines[merge]] == [["MM", "a"]]


def test_sha256_repositories_give_the_items_of_their_sha1_twins(tmp_path: Path) -> None:
    make = HARD_CASES["a file renamed on both sides"]
    twin, history = make(), make()
    history.hash_digits = 64
    expected = ours(twin.build(tmp_path / "sha1.git"))
    items = ours(history.build(tmp_path / "sha256.git"))
    assert all(len(name) == 64 for name in items)
    assert [comparable(item) for item in items.values()] == [comparable(item) for item in expected.values()]


def comparable(item: Item) -> Item:
    """An item without what is made of hashes, but for their number."""
    data = {key: value for key, value in item["data"].items() if key not in ("commit", "Merge")}
    data["parents"] = len(data["parents"])
    data["files"] = [{key: value for key, value in file.items() if key != "indexes"} for file in data["files"]]
    hashed = ("uuid", "offset", "search_fields", "data")
    return {key: value for key, value in item.items() if key not in hashed} | data


@pytest.mark.parametrize("name", ["criss-cross merges", "odd paths, messages, names and dates"])
def test_a_saved_log_gives_the_items_of_the_repository(name: str, tmp_path: Path) -> None:
    mirror = HARD_CASES[name]().build(tmp_path / "mirror.git")
    saved = save(tmp_path, "".join(log(mirror, WHOLE, hashes(mirror))))
    items = [without_timestamp(item) for item in read_log(saved, ORIGIN)]
    assert items == list(perceval(mirror).values())


def save(folder: Path, text: str) -> Path:
    path = folder / "saved.log"
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


def test_a_saved_log_of_a_sha256_repository_is_read(tmp_path: Path) -> None:
    history = History(hash_digits=64)
    history.commit({"a": b"a"})
    mirror = history.build(tmp_path / "mirror.git")
    saved = save(tmp_path, "".join(log(mirror, WHOLE, hashes(mirror))))
    assert [item["data"]["commit"] for item in read_log(saved, ORIGIN, tag="tagged")] == hashes(mirror)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no log\n", "commit expected on line 1"),
        (f"commit {'a' * 40}\nAuthor\n", "invalid header format on line 2"),
        (f"commit {'a' * 40}\nAuthor: a <a@b>\n\n    Text\n", "without CommitDate"),
        (f"commit {'a' * 40}\nCommitDate: never\n\n    Text\n", "never is not a valid date"),
    ],
)
def test_a_malformed_saved_log_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefusedError, match=message):
        list(read_log(save(tmp_path, text), ORIGIN))


def test_a_saved_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefusedError, match="is not a file"):
        list(read_log(tmp_path / "nowhere.log", ORIGIN))
    assert list(tmp_path.iterdir()) == []


@given(
    date=st.datetimes(),
    hours=st.integers(0, 99),
    minutes=st.integers(0, 99),
    sign=st.sampled_from("+-"),
    weekday=st.sampled_from(["Mon", "Sun"]),
)
def test_the_time_of_a_commit_is_percevals(date: datetime, hours: int, minutes: int, sign: str, weekday: str) -> None:
    day = f"{weekday} {MONTHS[date.month - 1]} {date.day}"
    text = f"{day} {date:%H:%M:%S} {date.year} {sign}{hours:02}{minutes:02}"
    assert outcome(Git, text) == outcome(PercevalGit, text)


@pytest.mark.parametrize(
    "text",
    [
        "Tue Aug 14 14:30:13 2012 -0300", "Thu Jan 1 00:00:00 1970 +0000", "Thu Feb 30 00:00:00 2012 +0000",
        "Wed Dec 31 23:59:60 1969 -0130", "2012-08-14 14:30:13 -0300", "Tue Aug 14 14:30:13 2012",
        "Sun Feb 7 06:28:15 2106 +1400", "Tue Aug 14 24:00:00 2012 +0000", "Tue Aou 14 14:30:13 2012 -0300",
        "Tue Aug 14 14:30:13 2012 +051800", "Tue Aug 14 14:30:13 2012 +0000 (UTC)",
        "Tue Aug 14 14:30:13 99 +0000",
    ],
)  # fmt: skip
def test_the_time_of_a_commit_with_an_odd_date_is_percevals(text: str) -> None:
    assert outcome(Git, text) == outcome(PercevalGit, text)


def outcome(backend: type[PercevalGit], date: str) -> float | str:
    try:
        return float(backend.metadata_updated_on({"CommitDate": date}))
    except Exception as error:
        return repr(error)
