"""The commands that look at what is indexed."""

import sys
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from elasticsearch.dsl.query import Query

from ingest.cli.common import connected, say, settings_of, writing_results
from ingest.cli.filters import TextCommand, filters_of, takes_filters
from ingest.cli.options import takes
from ingest.search import groups
from ingest.search.commits import BY_HASH, MOST_RELEVANT_FIRST, NEWEST_FIRST, Commits
from ingest.search.hints import hints
from ingest.search.query import Request, query
from ingest.search.repositories import meant
from ingest.settings import Settings
from ingest.status import status as look
from ingest.text import json_text, printable

if TYPE_CHECKING:
    from rich.console import Console

_ON_A_TERMINAL = 20
"""So much is shown on one if nobody says how much."""

_MOST = 20
"""So many repositories are shown unless all are wanted."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every repository.")
@click.option("--all", "every", is_flag=True, help=f"Print every repository, not {_MOST} at most.")
@click.option("--sizes", is_flag=True, help="Say how much room mirrors take; where there are many, it takes time.")
@takes("index", "retry_for", "heap")
@click.pass_obj
def status(flags: dict[str, Any], as_json: bool, every: bool, sizes: bool) -> int:
    """Say what the index holds, of which repositories, and how their last runs ended.

    Those that failed come first, then those looked at last.
    """
    settings = settings_of(flags)
    found = look(connected(settings), settings, sizes=sizes)
    if as_json:
        say(json_text(found.to_json(), indent=True))
    else:
        for line in found.lines(None if every else _MOST):
            say(line)
    return 0


@click.command(cls=TextCommand)
@takes_filters
@click.option("--sort", type=click.Choice(["relevance", "date"]), help="[default: relevance with words, else date]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most. [default: 20 on a terminal, else all]")
@click.option("--count", "only_count", is_flag=True, help="Print how many there are, nothing else.")
@click.option("--by", type=click.Choice(groups.KINDS), help="Print how many commits each of these has.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON objects, one a line: whole documents, or what --by says."
)
@takes("index", "retry_for", "heap")
@click.pass_context
def search(
    context: click.Context, sort: str | None, limit: int | None, only_count: bool, by: str | None, as_json: bool
) -> int:
    """Find commits by WORDS in subject and message, by what flags say, or by both.

    All words must be there. "two words" are a phrase, -word must not be there, wor* is how a word begins, one | other
    is either of them.

    On a terminal there is a table. Elsewhere there are lines, with tabs between hash, commit date, author, repository
    and subject.
    """
    commits, request = _asked(context)
    asked = query(request)
    if only_count:
        say(str(commits.count(asked)))
        return 0
    order = sort or ("relevance" if request.text.strip() else "date")
    if by is not None:
        found = _print_groups(commits, asked, by, limit, as_json=as_json)
    elif sys.stdout.isatty() and not as_json:
        found = _print_table(commits, asked, order, limit or _ON_A_TERMINAL)
    else:
        found = _print_each(commits, asked, order, limit, as_json=as_json)
    if not found:
        _explain(commits, request)
    return 0


@click.command(cls=TextCommand)
@takes_filters
@takes("index", "retry_for", "heap")
@click.pass_context
def export(context: click.Context) -> int:
    """Print whole documents as JSON objects, one a line: all, or those that search finds with the same flags."""
    commits, request = _asked(context)
    if not _print_lines(json_text(each) for each in commits.stream(query(request), BY_HASH)):
        _explain(commits, request)
    return 0


@click.command()
@click.argument("commit", metavar="HASH")
@takes("index", "retry_for", "heap")
@click.pass_obj
def show(flags: dict[str, Any], commit: str) -> int:
    """Print a commit as git does; HASH may be abbreviated."""
    from ingest.search import show as showing  # noqa: PLC0415

    commits = _commits(settings_of(flags))
    console = _console()
    text = showing.text(showing.find(commits, commit), width=console.width if console.is_terminal else 80)
    with writing_results():
        console.print(text, soft_wrap=True)
    return 0


def _commits(settings: Settings) -> Commits:
    commits = Commits(connected(settings), settings.index, settings.retry_for)
    commits.check()
    return commits


def _asked(context: click.Context) -> tuple[Commits, Request]:
    """Where to look, and for what; repositories are named in it as the index does."""
    commits = _commits(settings_of(context.obj))
    filters = filters_of(context)
    if filters["origins"]:
        known = commits.origins()
        filters["origins"] = tuple(meant(each, known) for each in filters["origins"])
    return commits, Request(**filters)


def _console() -> "Console":
    """Standard output, coloured where that is a terminal and NO_COLOR is not set."""
    # Imported here, because only those who look need it.
    from rich.console import Console  # noqa: PLC0415

    return Console(highlight=False, markup=False, emoji=False)


def _print_table(commits: Commits, asked: Query, order: str, limit: int) -> int:
    from ingest.search import table  # noqa: PLC0415

    found = commits.first(asked, _SORT[order], limit)
    total, shown = found.total, len(found.hits)
    if total:
        table.show(_console(), found, repositories=len(commits.origins()) > 1)
        first = {"relevance": "the most relevant first", "date": "the newest first"}[order]
        _remark(
            f"{_number(total, 'commit')}, {first}"
            if shown == total
            else f"{shown:,} of {_number(total, 'commit')}, {first}; more of them: --limit {min(total, 10 * limit)}"
        )
    return total


def _print_each(commits: Commits, asked: Query, order: str, limit: int | None, *, as_json: bool) -> int:
    from ingest.search import table  # noqa: PLC0415

    documents = islice(commits.stream(asked, _SORT[order], True if as_json else table.SOURCE), limit)
    return _print_lines(map(json_text if as_json else table.line, documents))


def _print_groups(commits: Commits, asked: Query, kind: str, limit: int | None, *, as_json: bool) -> int:
    from ingest.search import table  # noqa: PLC0415

    on_a_terminal = sys.stdout.isatty() and not as_json
    found = groups.grouped(commits, asked, kind, limit or (_ON_A_TERMINAL if on_a_terminal else groups.MOST))
    if not on_a_terminal:
        return _print_lines(
            json_text(each.to_json(kind)) if as_json else table.group_line(each) for each in found.groups
        )
    if found.groups:
        table.show_groups(_console(), found.groups, kind)
        more = f", and {found.more:,} more: --limit {len(found.groups) + found.more}" if found.more else ""
        _remark(f"{_number(found.total, 'commit')}{more}")
    return len(found.groups)


_SORT = {"relevance": MOST_RELEVANT_FIRST, "date": NEWEST_FIRST}


def _print_lines(lines: Iterable[str]) -> int:
    """Print lines, and give how many there were."""
    count = 0
    with writing_results():
        for count, line in enumerate(lines, 1):  # noqa: B007 - used behind the loop
            sys.stdout.write(f"{line}\n")
        # Here, where it is noticed that nobody reads any more.
        sys.stdout.flush()
    return count


def _explain(commits: Commits, request: Request) -> None:
    """Say that nothing was found, and why."""
    _remark(f"Nothing in {commits.index} matches.")
    for hint in hints(commits, request):
        _remark(f"  {hint}")


def _remark(line: str) -> None:
    """What is no result."""
    click.echo(printable(line), err=True)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
