"""From Perceval's item to the document and back."""

import string
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.index.conversion import action, document, item, quoted, unquoted
from ingest.index.document import Commit, mapping
from ingest.text import repaired

DATE = "Tue Aug 14 14:30:13 2012 -0300"


def made(**data: Any) -> dict[str, Any]:
    """An item as Perceval gives it."""
    commit = {
        "commit": "a" * 40,
        "parents": [],
        "refs": [],
        "Author": "A <a@example.org>",
        "AuthorDate": DATE,
        "Commit": "C <c@example.org>",
        "CommitDate": DATE,
        "message": "m",
        "files": [],
    }
    return {
        "backend_name": "Git",
        "backend_version": "1.0.1",
        "perceval_version": "1.6.1",
        "timestamp": 1700000000.5,
        "origin": "https://example.org/r",
        "uuid": "0650dcc6d4293cc6b1a2c3e9f2a02a8a4c3e3a3e",
        "updated_on": 1344965413.0,
        "classified_fields_filtered": None,
        "category": "commit",
        "search_fields": {"item_id": "a" * 40},
        "tag": "https://example.org/r",
        "data": commit | data,
        "offset": "a" * 40,
    }


def there_and_back(original: dict[str, Any]) -> dict[str, Any]:
    """The item after its way through JSON; its uuid is computed again, so it is taken from the original."""
    return item(orjson.loads(action(original).source)) | {"uuid": original["uuid"]}


def test_the_fields_of_a_document() -> None:
    commit = made(
        parents=["b" * 40, "c" * 40],
        refs=["HEAD -> refs/heads/main", "tag: refs/tags/v1"],
        Author="Ada Lovelace <Ada@Example.ORG>",
        message="Subject\n\nBody",
        files=[
            {"modes": ["100644", "100644"], "indexes": ["1" * 7, "2" * 7], "action": "R090",
             "file": '"d\\303\\251.txt"',
             "newfile": "e.txt", "added": "3", "removed": "2"},
            {"modes": ["0", "100644"], "indexes": ["0", "1"], "action": "A", "file": "x", "added": "-", "removed": "-"},
        ],
        Merge="bbbbbbb ccccccc",
        **{"Signed-off-by": ["S <s@t>"]},
    )  # fmt: skip
    assert document(commit, project="P") == {
        "hash": "a" * 40,
        "parents": ["b" * 40, "c" * 40],
        "refs": ["HEAD", "refs/heads/main", "refs/tags/v1"],
        "origin": "https://example.org/r",
        "project": "P",
        "author": {"name": "Ada Lovelace", "email": "Ada@Example.ORG", "domain": "example.org"},
        "committer": {"name": "C", "email": "c@example.org", "domain": "example.org"},
        "author_date": "2012-08-14T14:30:13-03:00",
        "author_utc_offset": -180,
        "commit_date": "2012-08-14T14:30:13-03:00",
        "committer_utc_offset": -180,
        "subject": "Subject",
        "message": "Subject\n\nBody",
        "is_merge": True,
        "files": [
            {"path": "e.txt", "old_path": "dé.txt", "action": "R090", "modes": ["100644", "100644"],
             "indexes": ["1" * 7, "2" * 7], "binary": False, "added": 3, "removed": 2},
            {"path": "x", "action": "A", "modes": ["0", "100644"], "indexes": ["0", "1"], "binary": True},
        ],
        "files_count": 2,
        "lines_added": 3,
        "lines_removed": 2,
        "trailers": {"signed_off_by": ["S <s@t>"]},
        "perceval_version": "1.6.1",
        "backend_version": "1.0.1",
        "ingested_at": "2023-11-14T22:13:20.500000Z",
        "updated_on": "2012-08-14T17:30:13Z",
        "raw": {"Merge": "bbbbbbb ccccccc"},
    }  # fmt: skip


def test_undecoded_bytes_are_read_as_windows_1252() -> None:
    undecoded = b"caf\xe9 \x93x\x94 \x81 \xc3\xa9".decode("utf-8", "surrogateescape")
    assert repaired({undecoded: [undecoded]}) == {"café “x” \x81 é": ["café “x” \x81 é"]}


def test_a_problem_is_kept_as_incomplete() -> None:
    assert document(made(), problem="its diff is unreadable")["incomplete"] == "its diff is unreadable"


# What git may pass through: any text, and bytes that are not UTF-8.
texts = st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"").decode("utf-8", "surrogateescape")) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=60
)
names = st.text(string.ascii_letters + string.digits + ' "\\{}=>/\t\n.é\x7f', min_size=1, max_size=30)
numbers = st.integers(0, 10**6).map(str)
references = st.sampled_from(
    ["HEAD", "HEAD -> refs/heads/main", "refs/heads/main", "refs/heads/a,b", "b", "tag: refs/tags/v,1", "refs/stash"]
)


@given(st.lists(references, max_size=4))
def test_refs_come_back(refs: list[str]) -> None:
    parts = [part for ref in refs for part in ref.split(",")]
    assert there_and_back(made(refs=parts))["data"]["refs"] == parts


@given(texts, texts)
def test_signatures_and_messages_come_back_repaired(signature: str, message: str) -> None:
    original = made(Author=signature, Commit=f"{signature} <{message}>", message=message)
    assert there_and_back(original) == repaired(original)


@given(st.integers(10**6, 253402300799 - 10**6), st.integers(0, 9999), st.booleans())
def test_dates_as_git_prints_them_come_back(timestamp: int, zone: int, west: bool) -> None:
    # As git's date.c does: the zone is a decimal number of which the last two digits are minutes, however many.
    offset = timedelta(hours=zone // 100, minutes=zone % 100) * (-1 if west else 1)
    local = datetime.fromtimestamp(timestamp, UTC) + offset
    date = f"{local:%a %b} {local.day} {local:%H:%M:%S} {local.year} {'-' if west else '+'}{zone:04}"
    original = made(AuthorDate=date)
    assert there_and_back(original)["data"]["AuthorDate"] == date


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Tue Aug 14 14:30:13 12012 -0300", "2012-08-14", "Thu Jan 1 00:00:30 1970"]
)
def test_other_dates_come_back_too(date: str) -> None:
    assert there_and_back(made(CommitDate=date))["data"]["CommitDate"] == date


@given(names)
def test_quoting_is_undone_and_done_again(name: str) -> None:
    assert unquoted(quoted(name)) == name


@given(st.lists(st.tuples(names, names | st.none(), numbers | st.none()), max_size=3), st.booleans())
def test_files_come_back(entries: list[tuple[str, str | None, str | None]], quoting: bool) -> None:
    files = []
    for old, new, lines in entries:
        file: dict[str, Any] = {"file": quoted(old) if quoting else old}
        if new is not None:
            file |= {"newfile": quoted(new) if quoting else new, "action": "R100", "modes": [], "indexes": []}
        if lines is not None:
            file |= {"added": lines, "removed": lines}
        files.append(file)
    assert there_and_back(made(files=files))["data"]["files"] == files


def test_the_fields_of_documents_are_those_of_the_mapping() -> None:
    fields = document(made(files=[{"file": "x", "added": "1", "removed": "0"}]), "i", "p")
    assert fields.keys() <= mapping()["properties"].keys()
    assert Commit._index.resolve_field("author.name.text") is not None
