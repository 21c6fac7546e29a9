"""What each word and each flag finds."""

import pytest

from ingest import settings
from ingest.errors import UsageError
from ingest.search.query import moment
from tests.search.conftest import Search

SUBJECTS = {
    "begin": "Begin",
    "add": "Add the parser",
    "leak": "Fix memory leak in the parser",
    "wide": "解析器を直す parsers",
    "guide": "Write a guide",
    "move": "Move the parser",
    "eve": "Send ?[31m escapes and a fix",
    "merge": "Merge side",
}


def found(lines: list[str]) -> list[str]:
    """The short names, above, of the commits in these lines."""
    names = {subject: name for name, subject in SUBJECTS.items()}
    return [names[line.split("\t")[4]] for line in lines]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["merge", "eve", "move", "guide", "wide", "leak", "add", "begin"]),
        (["--limit", "2"], ["merge", "eve"]),
        (["--author", "ADA"], ["merge", "guide", "add", "begin"]),
        (["--author", "lovel"], ["merge", "guide", "add", "begin"]),
        (["--author", "ada@example"], ["merge", "guide", "add", "begin"]),
        (["--author", "élodie"], ["leak"]),
        (["--author", "太郎"], ["wide"]),
        (["--author", "hopper", "--author", "élodie"], ["move", "leak"]),
        (["--author", "Ada Lovelace <ada@example.org>"], ["merge", "guide", "add", "begin"]),
        (["--author", "Ada Lovelace <grace@example.com>"], []),
        (["--author", "*"], []),
        (["--email", "grace@example.com"], ["move"]),
        (["--email", "race@example.com"], []),
        (["--email", "@example.com"], ["move"]),
        (["--email", "example.co"], ["move", "wide"]),
        (["--path", "src"], ["move", "leak", "add", "begin"]),
        (["--path", "src/"], ["move", "leak", "add", "begin"]),
        (["--path", "./src/parser.py"], ["move", "leak", "add"]),
        (["--path", "src/parser"], []),
        (["--path", "src*"], ["move", "wide", "leak", "add", "begin"]),
        (["--path", "*.md"], ["eve", "guide", "add"]),
        (["--path", "l?b"], ["move"]),
        (["--path", "lib", "--path", "srcfoo"], ["move", "wide"]),
        (["--path", "."], ["merge", "eve", "move", "guide", "wide", "leak", "add", "begin"]),
        (["--since", "2025"], ["merge", "eve", "move"]),
        (["--until", "2023"], ["add", "begin"]),
        (["--since", "2024", "--until", "2024"], ["guide", "wide", "leak"]),
        (["--since", "2024-02", "--until", "2024-02"], ["leak"]),
        (["--since", "2024-12-31", "--until", "2024-12-31"], ["guide"]),
        (["--since", "2023-03-01T12:00:00+01:00", "--until", "2023-03-01T11:00:00"], ["add"]),
        (["--since", "2023-03-01T11:00:01", "--until", "2024-02-29T11:59:59Z"], []),
        (["--until", "now-200y/y"], []),
        (["--since", "1h"], []),
        (["--merges"], ["merge"]),
        (["--no-merges", "--since", "2025-02"], ["eve"]),
        (["--project", "books", "--until", "2023"], ["add"]),
        (["--repo", "other"], ["begin"]),
        (["--min-lines", "5"], ["leak", "add"]),
        (["--min-lines", "6"], ["leak"]),
        (["--min-lines", "64"], ["leak"]),
        (["--min-lines", "65"], []),
        (["--author", "ada", "--path", "src", "--since", "2023"], ["add"]),
        (["parser"], ["move", "add", "leak"]),
        (["parser", "--sort", "date"], ["move", "leak", "add"]),
        (["PARSER", "fix"], ["leak"]),
        (["pars*", "--sort", "date"], ["move", "wide", "leak", "add"]),
        (["memory leak"], ["leak", "guide"]),
        (["memory", "leak"], ["leak", "guide"]),
        (['"memory leak"'], ["leak"]),
        (['"memory leak" | move', "--sort", "date"], ["move", "leak"]),
        (["leak -typo"], ["leak"]),
        (["--sort", "date", "--", "-parser", "-leak", "-begin"], ["merge", "eve", "wide"]),
        (["解析器"], ["wide"]),
        (["parser", "--author", "grace"], ["move"]),
        (["src/~parser"], []),
    ],
)
def test_what_is_found(search: Search, flags: list[str], expected: list[str]) -> None:
    assert found(search(*flags)) == expected
    limited = "--limit" in flags
    if not limited:
        assert search("--count", *flags) == [str(len(expected))]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--since", "yesterday"], "'yesterday' is not a date"),
        (["--since", "6m"], "'6m' is not a date"),
        (["--since", "2025-13"], "'2025-13' is not a date"),
        (["--until", "0000"], "'0000' is not a date"),
        (['"memory leak'], "has no other"),
        (["!?"], "holds no word"),
        (["--repo", "nowhere"], "holds no repository nowhere"),
        (["--repo", "searched"], "may be one of"),
        (["word " * 800, "more"], "have 4,005 characters"),
        (["--path", "*a" * 3000], "Elasticsearch does not take this search"),
    ],
)
def test_what_makes_no_sense(search: Search, flags: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        search(*flags)


def test_a_date_is_a_bound_as_elasticsearch_takes_it() -> None:
    assert moment("2025", settings.until) == "2025||/y"
    assert moment("2025-03", settings.since) == "2025-03||/M"
    assert moment("2025-03-31", settings.since) == "2025-03-31T00:00:00+00:00"
    assert moment("2025-03-31", settings.until) == "2025-03-31T23:59:59+00:00"
    assert moment("2w", settings.since) == "now-2w"
    assert moment(" now-1y/y ", settings.until) == "now-1y/y"
