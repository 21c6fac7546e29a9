"""From what is asked for to a search with the DSL."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from elasticsearch.dsl import Q
from elasticsearch.dsl.query import Query

from ingest import settings
from ingest.errors import UsageError

_OPERATORS: Final = "AND|OR|NOT|PHRASE|PREFIX|PRECEDENCE|WHITESPACE|ESCAPE"
"""Of simple_query_string, all but ``~``, which stands in paths and in git's own notation."""
_LONGEST: Final = 4000
"""Characters; Elasticsearch takes seconds for a thousand words."""
_IN_PATTERNS: Final = re.compile(r"([*?\\])")
_YEAR_OR_MONTH: Final = re.compile(r"\d{4}(-\d\d)?", re.ASCII)
_AGO: Final = re.compile(r"\d+[yMwdh]", re.ASCII)
"""Not minutes: who writes ``6m`` means six months, and would find nothing."""
_DATE_MATH: Final = re.compile(r"now([-+]\d+[yMwdhHms])*(/[yMwdhHms])?", re.ASCII)
_ROUNDED: Final = {4: "y", 7: "M"}


@dataclass(frozen=True)
class Request:
    """Which commits are asked for: those that fulfil all of it. Where several values are given, one of them is enough.

    :ivar text: words that subject or message hold, all of them: ``one two``, ``"a phrase"``, ``-without``, ``begin*``,
        ``one | other``
    :ivar authors: part of the author's name, or of the e-mail, in upper or lower case; or ``Name <e-mail>``
    :ivar emails: the author's e-mail, or a part of it such as ``@example.org``
    :ivar paths: a file, or a folder with all that is below it, or a pattern with ``*`` and ``?``
    :ivar origins: the repositories, as the documents name them
    :ivar project: label of the documents
    :ivar since: commit date of the oldest, see `moment`
    :ivar until: commit date of the newest, see `moment`
    :ivar merges: only merges, or none; None: both
    :ivar min_lines: so many lines were added and removed, and at least one more
    """

    text: str = ""
    authors: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    project: str | None = None
    since: str | None = None
    until: str | None = None
    merges: bool | None = None
    min_lines: int | None = None


def query(request: Request, without: Collection[str] = ()) -> Query:
    """The query for a request, in which the words alone count for the relevance of what they find.

    :param without: conditions to leave out, by the names of `conditions`, or ``text``
    :raises UsageError: a part of the request makes no sense
    """
    words = [] if "text" in without or not request.text.strip() else [_text(request.text)]
    return Q("bool", must=words, filter=[each for name, each in conditions(request) if name not in without])


def conditions(request: Request) -> Iterator[tuple[str, Query]]:
    """What a commit must be, besides holding the words, each by the name of its flag.

    :raises UsageError: a part of the request makes no sense
    """
    for flag, values, clause in (
        ("author", request.authors, _author),
        ("email", request.emails, _email),
        ("path", request.paths, _path),
    ):
        if values:
            yield flag, _one_of([clause(value) for value in values])
    if request.origins:
        yield "repo", Q("terms", origin=list(request.origins))
    if request.project is not None:
        yield "project", Q("term", project=request.project)
    if request.since is not None:
        yield "since", Q("range", commit_date={"gte": moment(request.since, settings.since)})
    if request.until is not None:
        yield "until", Q("range", commit_date={"lte": moment(request.until, settings.until)})
    if request.merges is not None:
        yield "merges" if request.merges else "no-merges", Q("term", is_merge=request.merges)
    if request.min_lines is not None:
        yield "min-lines", _more_lines_than(request.min_lines)


def moment(text: str, parse: Callable[[str], int]) -> str:
    """A bound of a range, as Elasticsearch takes it, which rounds the upper one up.

    :param text: as `ingest.settings.since` takes it; or a year, or a month (``2025-03``); or so long ago: ``2w``,
        ``6M``, ``1y``; or Elasticsearch's own date math, such as ``now-1y/y`` for last year
    :raises UsageError: it is none of these
    """
    text = text.strip()
    try:
        if _YEAR_OR_MONTH.fullmatch(text):
            date.fromisoformat(f"{text}-01-01"[:10])
            return f"{text}||/{_ROUNDED[len(text)]}"
        if _AGO.fullmatch(text):
            return f"now-{text}"
        if _DATE_MATH.fullmatch(text):
            return text
        return datetime.fromtimestamp(parse(text), UTC).isoformat()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a date",
            "give one such as 2025, 2025-03, 2025-03-31, 2w (two weeks ago), 6M (six months), 1y",
        ) from None


def _text(text: str) -> Query:
    if not re.search(r"\w", text):
        raise UsageError(f"{text!r} holds no word", "give words that the commits you look for hold")
    if len(text) > _LONGEST:
        raise UsageError(f"The words have {len(text):,} characters", f"{_LONGEST:,} are taken")
    if len(re.findall(r'(?<!\\)"', text)) % 2:
        raise UsageError(f"A quotation mark in {text!r} has no other", 'write a phrase as "two words"')
    return Q(
        "simple_query_string",
        query=text,
        fields=["subject^3", "message"],
        default_operator="and",
        flags=_OPERATORS,
    )


def _author(text: str) -> Query:
    name, bracket, email = text.strip().rpartition("<")
    if bracket and email.endswith(">"):
        return Q("bool", filter=[*([_holds("author.name", name.strip())] if name.strip() else []), _email(email[:-1])])
    # A keyword is compared without regard to case in ASCII only, an analyzed text in every script.
    words = Q("match", **{"author.name.text": {"query": text, "operator": "and"}})
    return _one_of([_holds("author.name", text), _holds("author.email", text), words])


def _email(text: str) -> Query:
    """Whole, or open at the side at which something may be missing."""
    name, at, domain = text.strip().partition("@")
    left, right = "" if at and name else "*", "" if at and domain else "*"
    return _like("author.email", f"{left}{_literal(text.strip())}{right}", any_case=True)


def _path(text: str) -> Query:
    path = text.strip().removeprefix("./").lstrip("/")
    if path in ("", "."):
        return Q("match_all")
    return _one_of([each for field in ("files.path", "files.old_path") for each in _below(field, path)])


def _below(field: str, path: str) -> Iterator[Query]:
    folder = path.rstrip("/")
    if _IN_PATTERNS.search(path):
        yield _like(field, f"{folder}/*")
        if folder == path:
            yield _like(field, path)
        return
    yield Q("prefix", **{field: f"{folder}/"})
    if folder == path:
        yield Q("term", **{field: path})


def _more_lines_than(count: int) -> Query:
    """The sum of two fields is in no field: it is made a score, and the least score stated."""
    lines = [{"field_value_factor": {"field": f"lines_{each}", "missing": 0}} for each in ("added", "removed")]
    return Q("function_score", functions=lines, score_mode="sum", boost_mode="replace", min_score=count + 1)


def _holds(field: str, text: str) -> Query:
    return _like(field, f"*{_literal(text.strip())}*", any_case=True)


def _like(field: str, pattern: str, *, any_case: bool = False) -> Query:
    return Q("wildcard", **{field: {"value": pattern, "case_insensitive": any_case}})


def _literal(text: str) -> str:
    return _IN_PATTERNS.sub(r"\\\1", text)


def _one_of(clauses: list[Any]) -> Query:
    return clauses[0] if len(clauses) == 1 else Q("bool", should=clauses, minimum_should_match=1)
