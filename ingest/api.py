"""For notebooks and programs: load repositories, and search what is loaded; docs/python.md shows how.

Settings come from the environment, as they do for the command.
"""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import elasticsearch

from ingest import pipeline
from ingest.cli.common import connected
from ingest.errors import UsageError
from ingest.git.remote import Remote
from ingest.index import manage
from ingest.index.document import Commit
from ingest.index.rejects import Rejects
from ingest.pipeline import Job
from ingest.progress import Tally
from ingest.search.commits import NEWEST_FIRST, Commits
from ingest.search.query import Request, query
from ingest.search.repositories import meant
from ingest.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Commit", "commits", "connect", "load"]

_PEOPLE: Final = ("name", "email", "domain")
_COLUMNS: Final = {
    "hash": "str",
    "origin": "str",
    "project": "str",
    "author_date": "date",
    "author_utc_offset": "Int16",
    **{f"author_{each}": "str" for each in _PEOPLE},
    "commit_date": "date",
    "committer_utc_offset": "Int16",
    **{f"committer_{each}": "str" for each in _PEOPLE},
    "subject": "str",
    "message": "str",
    "is_merge": "bool",
    "files_count": "int64",
    "lines_added": "int64",
    "lines_removed": "int64",
}
"""Of the data frame: each with what is in it."""

Words = str | tuple[str, ...] | list[str]


def connect() -> elasticsearch.Elasticsearch:
    """A client of the Elasticsearch that ES_URL names, or else of the one on this machine, which is started.

    It is for ``Commit.search(using=connect(), index="commits")``, and whatever else Elasticsearch can do.

    :raises IngestError: the settings make no sense, or the server cannot be started
    """
    return connected(Settings.gather({}))


def load(repository: str, *, index: str | None = None) -> Tally:
    """Make an index equal to a repository: all its commits, and nothing else of it.

    :param repository: URL or path
    :param index: alias to write (default: INGEST_INDEX, else ``commits``)
    :return: how many commits were indexed, deleted, rejected; its ``str()`` says it in words
    :raises IngestError: the repository cannot be read, or Elasticsearch not be written
    """
    settings = Settings.gather({"index": index})
    remote = Remote.parse(repository)
    client = connected(settings)
    target = pipeline.target_of(client, settings)
    with (
        Rejects(settings.home / "rejects", settings.index) as refused,
        manage.tuned_for_first_load(client, target.index, settings.retry_for),
    ):
        tally = pipeline.load(remote, Job(settings, target, pipeline.state_of(target), refused, show=False))
    # What was written is searched from now on.
    manage.count(client, settings.index, settings.retry_for)
    return tally


def commits(
    text: str = "",
    *,
    author: Words = (),
    email: Words = (),
    path: Words = (),
    repo: Words = (),
    project: str | None = None,
    since: str | None = None,
    until: str | None = None,
    merges: bool | None = None,
    min_lines: int | None = None,
    limit: int | None = None,
    index: str | None = None,
) -> "DataFrame":
    """A data frame of commits, the newest first, one row for each commit of each repository.

    The parameters are what the flags of ``ingest search`` are. Where one is a list, one of its values is enough.

    :param merges: only merges, or none; None: both
    :param limit: rows, at most; None: all there are
    :param index: alias to read (default: INGEST_INDEX, else ``commits``)
    :return: dates are in UTC; the minutes that the author's clock was ahead of it are in ``author_utc_offset``
    :raises UsageError: a parameter makes no sense, or there is no such index, or no pandas
    :raises IngestError: Elasticsearch does not answer
    """
    settings = Settings.gather({"index": index})
    place = Commits(connected(settings), settings.index, settings.retry_for)
    place.check()
    known = place.origins() if repo else []
    request = Request(
        text=text,
        authors=_many(author),
        emails=_many(email),
        paths=_many(path),
        origins=tuple(meant(each, known) for each in _many(repo)),
        project=project,
        since=since,
        until=until,
        merges=merges,
        min_lines=min_lines,
    )
    fields = [*_COLUMNS, "author", "committer"]
    documents = place.stream(query(request), NEWEST_FIRST, {"includes": fields})
    return _frame(islice(documents, limit))


def _many(words: Words) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


def _frame(documents: Iterator[dict[str, Any]]) -> "DataFrame":
    # Imported here, because most who install this have no use for it.
    try:
        import pandas  # noqa: PLC0415
    except ImportError:
        raise UsageError("There is no pandas here", "install it: pip install ingest[notebook]") from None
    frame = pandas.DataFrame.from_records([_row(each) for each in documents], columns=list(_COLUMNS))
    for name, kind in _COLUMNS.items():
        if kind == "date":
            frame[name] = pandas.to_datetime(frame[name], utc=True, format="ISO8601").dt.as_unit("us")
        else:
            frame[name] = frame[name].astype(kind)
    return frame


def _row(document: dict[str, Any]) -> tuple[Any, ...]:
    people = {
        f"{role}_{each}": document.get(role, {}).get(each) for role in ("author", "committer") for each in _PEOPLE
    }
    return tuple({**document, **people}.get(name) for name in _COLUMNS)
