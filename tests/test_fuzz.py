"""Our own parsers, given what nobody foresaw: they refuse it in the way they promise, or give it back unchanged.

``INGEST_FUZZ_EXAMPLES=100000`` looks further than CI does.
"""

import os
import random
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from grimoirelab_toolkit.datetime import InvalidDateError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from perceval.backends.core.git import GitRepository
from perceval.errors import ParseError

from ingest import settings as ours
from ingest.errors import IngestError, UsageError
from ingest.git import dates, log, perceval
from ingest.git.history import Selection
from ingest.git.remote import SCHEMES, Remote
from ingest.index import conversion, rejects
from ingest.index.connection import connect, shown, without_credentials
from ingest.index.state import Entry, Reached
from ingest.text import json_text, printable, repaired, without
from tests.repository import of_every_kind

EXAMPLES = int(os.environ.get("INGEST_FUZZ_EXAMPLES") or (500 if os.environ.get("CI") else 100))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

BYTES_AS_TEXT = st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
LINE = BYTES_AS_TEXT.map(lambda text: text.replace("\n", " "))
SHORT = st.text(max_size=12)
SECRET = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=8, max_size=20)
LOGIN = st.tuples(st.sampled_from(["", "u", "u%40"]), SECRET, st.booleans()).map(
    lambda parts: f"{parts[0]}:{quote(parts[1], '') if parts[2] else parts[1]}@"
)
URLS = st.tuples(
    st.sampled_from([*SCHEMES, "HTTPS", "ext", "fd", "ssh+git"]), st.sampled_from(["://", "::", ":", ":///", "::/"]),
    st.one_of(st.just(""), SHORT, LOGIN), st.one_of(st.just("example.org"), st.just("[::1]:80"), SHORT), SHORT,
).map("".join)  # fmt: skip


@fuzzed
@given(st.one_of(URLS, BYTES_AS_TEXT, st.text()))
@example("http://[")
@example("https://u:p@[::1/x")
@example("~nobody-of-that-name")
@example("ssh://:@example.org")
@example("ssh://")
@example("file://")
def test_a_repository_is_taken_apart_or_refused_and_its_address_is_its_own(text: str) -> None:
    try:
        remote = Remote.parse(text)
    except UsageError:
        return
    assert not remote.origin.startswith("-")
    assert Remote.parse(remote.origin) == Remote(remote.origin)
    assert remote.name == Path(remote.name).name
    assert remote.name.isascii()


@fuzzed
@given(st.sampled_from(["http", "https"]), SECRET, SECRET)
def test_credentials_of_a_repositorys_url_are_given_to_git_and_stay_out_of_its_address(
    scheme: str, user: str, password: str
) -> None:
    remote = Remote.parse(f"{scheme}://{quote(user, '')}:{quote(password, '')}@example.org/x")
    assert remote == Remote(f"{scheme}://example.org/x", user, password)
    assert repr(remote) == f"Remote(origin='{scheme}://example.org/x')"


PARSERS: list[Callable[[str], object]] = [
    ours.duration, ours.size, ours.size_or_nothing, ours.at_least_one, ours.from_zero, ours.boolean, ours.log_format,
    ours.since, ours.until, ours.index_name, ours.urls, ours.api_key,
]  # fmt: skip


@fuzzed
@given(st.one_of(URLS, BYTES_AS_TEXT, st.text(), st.from_regex(r"[0-9]{1,30}(\.[0-9]+)? ?[a-z]{0,3}", fullmatch=True)))
def test_a_setting_is_taken_or_refused(text: str) -> None:
    for parse in PARSERS:
        with suppress(ValueError):
            parse(text)


@fuzzed
@given(st.sampled_from(["http", "https"]), st.text(max_size=8), SECRET, st.text("ab/", max_size=5))
@example("http", "u", "12/34@5678", "")
@example("http", "u", "12\\345678", "")
@example("http", "u", "12#345678", "")
@example("http", "u", "12,http://345678", "")
def test_a_password_that_is_not_encoded_is_never_shown(scheme: str, user: str, password: str, path: str) -> None:
    told, refused = "", ""
    try:
        urls = ours.urls(f"{scheme}://{user}:{password}@host:9200/{path}")
        told = shown(connect(urls)) + "".join(map(without_credentials, urls))
    except (ValueError, UsageError) as error:
        refused = str(error)
    assert password not in told + refused
    assert "@" not in told


@fuzzed
@given(BYTES_AS_TEXT.filter(lambda name: "\0" not in name and name))
def test_a_name_that_is_quoted_and_unquoted_is_the_same(name: str) -> None:
    assert conversion.unquoted(conversion.quoted(name)) == name


@fuzzed
@given(st.one_of(BYTES_AS_TEXT, st.from_regex(r'"([a-z]|\\[abtnvfr"\\]|\\[0-7]{1,4}|\\){0,9}"', fullmatch=True)))
def test_any_name_can_be_unquoted(name: str) -> None:
    conversion.unquoted(name)


@fuzzed
@given(st.integers(-60_000_000_000, 253_402_300_799), st.from_regex(r"[+-][0-9]{1,3}[0-5][0-9]", fullmatch=True))
def test_a_date_is_read_as_it_was_printed(seconds: int, zone: str) -> None:
    try:
        text = dates.from_raw(seconds, zone)
    except OverflowError:
        return
    date = dates.read(text)
    if date is not None:
        assert date.timestamp == seconds
        assert not date.exact or dates.printed(date) == text


@fuzzed
@given(st.one_of(st.text(), st.from_regex(r"Tue Feb [0-9]{1,2} [0-9:]{8} [0-9]{1,5} [+-][0-9]{2,9}", fullmatch=True)))
def test_what_is_no_date_is_told(text: str) -> None:
    date = dates.read(text)
    assert date is None or not date.exact or dates.printed(date) == text


DATE = st.one_of(
    LINE,
    st.tuples(
        st.integers(-60_000_000_000, 250_000_000_000), st.sampled_from(["+0000", "-0000", "+0530", "-9959", "+12345"])
    ).map(lambda raw: dates.from_raw(*raw)),
)  # fmt: skip
NUMBER = st.integers(0, 1 << 40).map(str)
FILE = st.fixed_dictionaries(
    {"file": LINE},
    optional={"newfile": LINE.filter(bool)},
).flatmap(
    lambda names: st.tuples(
        st.just(names),
        st.one_of(st.just({}), st.just({"action": "M", "modes": ["100644", "100644"], "indexes": ["a", "b"]})),
        st.one_of(st.just({}), st.just({"added": "-", "removed": "-"}),
                  st.fixed_dictionaries({"added": NUMBER, "removed": NUMBER})),
    ).map(lambda parts: parts[0] | parts[1] | parts[2])
)  # fmt: skip
DATA = st.fixed_dictionaries(
    {"commit": st.from_regex(r"[0-9a-f]{40}", fullmatch=True), "parents": st.lists(SHORT, max_size=3),
     "refs": st.lists(LINE, max_size=4), "files": st.lists(FILE, max_size=4)},
    optional={"Author": LINE, "Commit": LINE, "AuthorDate": DATE, "CommitDate": DATE, "message": BYTES_AS_TEXT,
              "Signed-off-by": st.lists(LINE, min_size=1, max_size=2), "Merge": LINE, "Change-Id": st.lists(LINE)},
)  # fmt: skip


@fuzzed
@given(DATA)
def test_an_item_can_be_read_back_from_its_document(data: dict[str, Any]) -> None:
    given = perceval.Git("https://example.org/x", "/nowhere").item(data)
    document = orjson.loads(conversion.to_json(conversion.document(given)))
    again = conversion.item(document)
    assert again["data"] == repaired(given["data"])
    assert {**again, "data": None, "timestamp": 0} == {**repaired(given), "data": None, "timestamp": 0}


@cache
def saved_log() -> tuple[str, ...]:
    """The lines of a log of every kind of commit."""
    with tempfile.TemporaryDirectory() as folder:
        repository = of_every_kind(Path(folder) / "repository")
        done = subprocess.run(
            ["git", "log", *GitRepository.GIT_PRETTY_OUTPUT_OPTS, "--reverse", "--branches", "--tags"],
            cwd=repository.path, capture_output=True, check=True,
        )  # fmt: skip
    return tuple(done.stdout.decode("utf-8", "surrogateescape").splitlines(keepends=True))


def mutated(chance: random.Random) -> list[str]:
    """A stretch of that log in which lines are lost, doubled, moved, cut and made up."""
    start = chance.randrange(len(saved_log()))
    lines = list(saved_log()[start : start + chance.randint(1, 120)])
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        place = chance.randrange(len(lines))
        line = lines[place]
        cut = chance.randrange(len(line) + 1)
        lines[place : place + 1] = chance.choice(
            [[], [line, line], [f"{line[:cut].rstrip()}\n"], [line.replace(" ", "\t", 1)], ["\n", line],
             [f"{line[:cut]}\x00\u2028{line[cut:]}"], [chance.choice(saved_log()), line], [f"{line[:-1]}\r\n"]]
        ) or ["\n"]  # fmt: skip
    return lines


@fuzzed
@given(st.randoms(use_true_random=False))
def test_a_damaged_log_is_read_or_refused_and_what_is_read_can_be_indexed(chance: random.Random) -> None:
    lines = mutated(chance)
    backend = perceval.Git("https://example.org/x", "/nowhere")
    try:
        for item in backend.items(lines):
            document = conversion.document(item)
            again = conversion.item(orjson.loads(conversion.to_json(document)))
            assert again["data"] == repaired(item["data"])
    except (ParseError, InvalidDateError, KeyError):
        return


@fuzzed
@given(st.randoms(use_true_random=False))
def test_a_damaged_file_of_a_log_is_read_or_refused_in_our_words(chance: random.Random) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.writelines(mutated(chance))
        file.flush()
        with suppress(IngestError):
            list(perceval.read_log(Path(file.name), "https://example.org/x"))


@fuzzed
@given(st.randoms(use_true_random=False))
def test_splicing_a_damaged_log_loses_no_line_of_a_commit_that_is_no_merge(chance: random.Random) -> None:
    lines = mutated(chance)
    assert list(log.spliced(lines, {})) == lines
    merges = {line.split()[1]: [":: x\n"] for line in lines if line.startswith("commit ") and len(line.split()) > 3}
    spliced = list(log.spliced(lines, merges))
    assert [line for line in spliced if line[0] != ":"] == [line for line in lines if line[0] != ":"]


@fuzzed
@given(st.one_of(BYTES_AS_TEXT, st.text()))
def test_no_text_writes_to_the_terminal(text: str) -> None:
    for shown_text in (printable(text), json_text({text: [text]}), json_text(text, indent=True)):
        assert not [each for each in shown_text if not each.isprintable() and each not in "\t\n" and ord(each) < 0xA0]
    assert len(printable(text)) == len(text)
    assert orjson.loads(json_text({"x": text})) == {"x": repaired(text)}


@fuzzed
@given(SECRET, st.text(max_size=20), st.text(max_size=20))
def test_a_secret_is_hidden_in_every_form(secret: str, before: str, after: str) -> None:
    for form in (secret, quote(secret), quote(secret, ""), orjson.dumps(secret).decode()[1:-1]):
        assert form not in without(f"{before}{form}{after}", [secret]) or form in "***"


JSON = st.recursive(st.one_of(st.none(), st.booleans(), st.integers(-9, 9), SHORT), lambda inner: st.one_of(
    st.lists(inner, max_size=3),
    st.dictionaries(st.sampled_from(["index", "_id", "document", "hash", "origin", "x"]), inner, max_size=5),
))  # fmt: skip


@fuzzed
@given(st.lists(st.one_of(JSON.map(orjson.dumps), st.binary(max_size=30)), max_size=4))
def test_a_file_of_rejects_is_read_or_refused(lines: list[bytes]) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(lines))
        file.flush()
        with suppress(UsageError):
            for alias, action in rejects.read(Path(file.name)):
                assert isinstance(alias, str)
                assert isinstance(action.id, str)
                assert isinstance(orjson.loads(action.source), dict)


HASHES = st.one_of(st.none(), st.frozensets(st.sampled_from(["a" * 40, "b" * 40, "c" * 40])))
REACHED = st.builds(
    Reached,
    st.none(),
    st.builds(Selection, st.lists(SHORT, max_size=2).map(tuple), st.one_of(st.none(), st.integers(0, 9)), st.none()),
    st.one_of(st.none(), SHORT),
    st.integers(0, 1 << 40),
    HASHES,
    HASHES,
    st.one_of(st.none(), SHORT),
)
ENTRY = st.builds(Entry, SHORT, st.one_of(st.none(), REACHED), st.one_of(st.none(), SHORT), st.none(), st.just({}))


@fuzzed
@given(ENTRY)
def test_the_state_is_read_as_it_was_written(entry: Entry) -> None:
    assert Entry.from_json(orjson.loads(orjson.dumps(entry.to_json("commits-1")))) == entry
