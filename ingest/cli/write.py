"""The commands that write: load, reindex, verify, replay."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import elasticsearch

from ingest import pipeline
from ingest.cli.common import connected, located, program, say, settings_of, shows_progress
from ingest.cli.options import takes
from ingest.errors import IngestError, UsageError
from ingest.git.remote import Remote
from ingest.index import connection, manage, rejects
from ingest.index.bulk import Target
from ingest.index.overview import Overview
from ingest.many import listing, prune
from ingest.many.board import Board
from ingest.many.campaign import Campaign, Executor, worst
from ingest.many.listing import Wanted
from ingest.many.machine import Machine
from ingest.many.work import Brief
from ingest.pipeline import SOME_LACKING, Job
from ingest.progress import Tally
from ingest.reindex import reindex as rebuild
from ingest.settings import Settings, default_shown, variable_in_a_shell
from ingest.verify import verify as check

_log = logging.getLogger(__name__)

_OF_ONE_REPOSITORY = (4, 6)
"""Exit codes that say nothing about the next repository."""


@click.command()
@click.argument("repositories", metavar="REPO...", nargs=-1, envvar="INGEST_REPO")
@takes(
    "index", "repos", "jobs", "scheduler", "prune", "shards", "replicas", "chunk_size", "chunk_bytes", "retry_for",
    "branches", "since", "until", "gitpath", "workers", "items_bytes", "remote_timeout", "project", "wait", "quiet",
    "log_format", "heap",
)  # fmt: skip
@click.pass_obj
def load(flags: dict[str, Any], repositories: tuple[str, ...]) -> int:
    """Make the index equal to repositories: URLs or paths, and those of a list."""
    settings = settings_of(flags)
    wanted = _wanted(repositories, settings)
    settings = located(settings)

    def work(target: Target, refused: rejects.Rejects) -> tuple[Tally, int]:
        job = Job(settings, target, pipeline.state_of(target), refused, shows_progress(settings))
        if settings.repos is None and settings.scheduler is None and len(wanted) == 1:
            tally = _loaded(wanted[0].remote, job)
            return tally, SOME_LACKING if tally.lacking else 0
        return _load_many(wanted, job)

    return _send(settings, work)


def _wanted(repositories: Sequence[str], settings: Settings) -> list[Wanted]:
    """The repositories that are named, and those that are listed, each once."""
    if settings.prune and settings.repos is None:
        raise UsageError("--prune was given without --repos", "name the list of all repositories that are to stay")
    named = [Wanted(Remote.parse(repository), None, f"the argument {number}")
             for number, repository in enumerate(repositories, 1)]  # fmt: skip
    wanted = listing.joined([*named, *(listing.read(settings.repos) if settings.repos is not None else ())])
    if not wanted:
        raise UsageError("No repository was named", 'name one or more: make ingest REPO="URL-or-path …"')
    if settings.scheduler is not None:
        _see_that_all_may_travel(wanted, settings)
    if settings.gitpath is not None and len(wanted) > 1:
        raise UsageError("--gitpath was given for several repositories", "load them one by one, each with its own")
    return wanted


def _see_that_all_may_travel(wanted: list[Wanted], settings: Settings) -> None:
    """Refuse what would put credentials into tasks, which Dask shows, and a folder that workers do not have."""
    if settings.gitpath is not None:
        raise UsageError("--gitpath and --scheduler were given", "a worker's mirrors lie below its own INGEST_HOME")
    for each in wanted:
        if each.remote.username is not None or each.remote.password is not None:
            raise UsageError(
                f"The URL of {each.remote.origin} ({each.place}) holds credentials, which are not sent to workers",
                "give the workers' git a credential helper or keys, and name the URL without",
            )


def _load_many(wanted: list[Wanted], job: Job) -> tuple[Tally, int]:
    settings, overview = job.settings, Overview(job.state)
    with Board(len(wanted), job.rejects, show=job.show) as board:
        report = Campaign(settings, overview, board).run(wanted, _executor(wanted, job, board))
    if report.tally.lacking:
        _tell_of_earlier_lists(f"{report.lacking:,} repositories", report.tally, job)
    if not settings.quiet:
        for line in report.lines():
            say(line)
    left = prune.others(wanted, job, overview) if settings.repos is not None else 0
    return report.tally, worst([report.exit_code, left])


def _executor(wanted: list[Wanted], job: Job, board: Board) -> Executor:
    settings = job.settings
    brief = Brief(settings, job.target.index)
    if settings.scheduler is None:
        return Machine(brief, min(settings.jobs, len(wanted)), board)
    try:
        # Imported here, because few need it.
        from ingest.many.cluster import Cluster  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "--scheduler needs Dask, which is not installed", "install it beside ingest: pip install distributed"
        ) from None
    return Cluster(settings.scheduler, brief, board)


@click.command()
@click.argument("repositories", metavar="[REPO...]", nargs=-1, envvar="INGEST_REPO")
@takes(
    "index", "shards", "replicas", "chunk_size", "chunk_bytes", "retry_for", "workers", "items_bytes",
    "remote_timeout", "keep", "wait", "quiet", "log_format", "heap",
)  # fmt: skip
@click.pass_obj
def reindex(flags: dict[str, Any], repositories: tuple[str, ...]) -> int:
    """Build the index anew beside the live one, and swap them when it is complete.

    REPO: the repositories to read, what the index holds of others is taken over; none: all that the index knows.
    """
    settings = settings_of(flags)
    remotes = [Remote.parse(repository) for repository in dict.fromkeys(repositories)]
    started = time.monotonic()
    client = connected(settings)
    with _listed(settings) as refused:
        tally = rebuild(client, remotes, settings, refused, show=shows_progress(settings))
    _say_done(settings, client, tally, time.monotonic() - started)
    return SOME_LACKING if tally.lacking else 0


@click.command()
@click.argument("repositories", metavar="[REPO...]", nargs=-1, envvar="INGEST_REPO")
@click.option("--repair", is_flag=True, help="Mend what differs.")
@takes(
    "index", "chunk_size", "chunk_bytes", "retry_for", "workers", "items_bytes", "remote_timeout", "wait", "quiet",
    "log_format", "heap",
)  # fmt: skip
@click.pass_obj
def verify(flags: dict[str, Any], repositories: tuple[str, ...], repair: bool) -> int:
    """Compare the index with repositories, document for document, and say what differs.

    REPO: the repositories; none: all that the index knows.
    """
    settings = settings_of(flags)
    client = connected(settings)
    manage.check_exists(client, settings.index)
    target = pipeline.target_of(client, settings)
    state = pipeline.state_of(target)
    known = {entry.origin: entry.reached for entry in state.entries()}
    remotes = [Remote.parse(repository) for repository in dict.fromkeys(repositories or known)]
    if not remotes:
        raise UsageError(f"{settings.index} knows no repository", "load one first: make ingest REPO=…")

    def compare(remote: Remote) -> int:
        job = Job(
            pipeline.as_before(settings, known.get(remote.origin)), target, state, refused, shows_progress(settings)
        )
        findings, tally = check(remote, job, repair=repair, say=say)
        mended = f"; {tally}" if repair and findings.count else ""
        if findings.count or not settings.quiet:
            say(f"{remote.origin}: {findings.equal:,} equal, {findings.count:,} different{mended}")
        return SOME_LACKING if (tally.lacking if repair else findings.count) else 0

    with _listed(settings) as refused:
        return _for_each(remotes, compare)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@takes("chunk_size", "chunk_bytes", "retry_for", "quiet", "log_format", "heap")
@click.pass_obj
def replay(flags: dict[str, Any], file: Path) -> int:
    """Send the documents of a file of rejects again.

    The file is removed at the end: what is rejected again is in a new one.
    """
    alias = next((alias for alias, _ in rejects.read(file)), None)
    if alias is None:
        raise UsageError(f"{file} holds no rejected document", "name a file of rejects that does")
    settings = settings_of({**flags, "index": alias})

    def work(target: Target, refused: rejects.Rejects) -> tuple[Tally, int]:
        tally = pipeline.replay(file, target, refused, show=shows_progress(settings))
        return tally, SOME_LACKING if tally.lacking else 0

    code = _send(settings, work)
    file.unlink()
    return code


Work = Callable[[Target, rejects.Rejects], tuple[Tally, int]]


def _send(settings: Settings, work: Work) -> int:
    """Connect, let `work` send, say what was done, and give the exit code."""
    started = time.monotonic()
    client = connected(settings)
    target = pipeline.target_of(client, settings)
    with _listed(settings) as refused, manage.tuned_for_first_load(client, target.index, settings.retry_for):
        tally, code = work(target, refused)
    _say_done(settings, client, tally, time.monotonic() - started)
    return code


@contextmanager
def _listed(settings: Settings) -> Iterator[rejects.Rejects]:
    """A place to list what is lacking; it is named at the end if it was needed."""
    with rejects.Rejects(settings.home / "rejects", settings.index) as refused:
        try:
            yield refused
        finally:
            if refused.path is not None:
                _log.warning(
                    "What is not indexed, or not whole, is listed in %s; to send its documents again: ingest replay %s",
                    refused.path, refused.path,
                )  # fmt: skip


def _for_each(remotes: list[Remote], work: Callable[[Remote], int]) -> int:
    """Do something with one repository after the other, and give the worst of the exit codes.

    One that cannot be read does not keep the others from it.
    """
    codes = {0}
    for remote in remotes:
        try:
            codes.add(work(remote))
        except IngestError as error:
            if error.exit_code not in _OF_ONE_REPOSITORY or len(remotes) == 1:
                raise
            _log.error("%s", error)
            codes.add(error.exit_code)
    return worst(codes)


def _loaded(remote: Remote, job: Job) -> Tally:
    started = time.monotonic()
    tally = pipeline.load(remote, job)
    if tally.lacking:
        _tell_of_earlier_lists(remote.origin, tally, job)
    if job.settings.log_format == "json":
        figures = {"origin": remote.origin, "seconds": round(time.monotonic() - started, 3)} | vars(tally)
        _log.info("%s: %s", remote.origin, tally, extra={"figures": figures})
    return tally


def _tell_of_earlier_lists(whose: str, tally: Tally, job: Job) -> None:
    """Where nothing is listed that was not listed before."""
    if job.rejects.path is None:
        _log.warning("%s: %s commits are still lacking; earlier lists in %s say which, and why",
                     whose, f"{tally.lacking:,}", job.settings.home / "rejects")  # fmt: skip


def _say_done(settings: Settings, client: elasticsearch.Elasticsearch, tally: Tally, seconds: float) -> None:
    if settings.quiet:
        return
    total = manage.count(client, settings.index, settings.retry_for)
    where = connection.shown(client)
    first = where.split(", ")[0]
    let_in = _let_in(settings)
    address = f"{first}/{settings.index}"
    search = f"{program()} search{'' if settings.index == default_shown('index') else f' --index {settings.index}'}"
    last_year = datetime.now(UTC).year - 1
    say(
        f"{tally} in {seconds:.1f} s; "
        f"{settings.index} at {where} now holds {total:,}. Look at it:\n"
        f"  {search} fix\n"
        f"  {search} --by author --path FOLDER --since {last_year} --until {last_year} --no-merges\n"
        f"  curl {let_in}'{address}/_count?pretty'\n"
        f"  curl {let_in}'{address}?pretty'\n"
        f"  curl {let_in}'{address}/_search?pretty&size=3&sort=commit_date:desc&q=message:fix'"
    )


def _let_in(settings: Settings) -> str:
    """What lets curl in, without a secret among its arguments, which everybody on the machine can read."""
    words = ""
    if settings.es_username:
        words = f'-u "{variable_in_a_shell("ES_USERNAME")}" '
    elif settings.es_api_key:
        words = f'-H @<(echo "Authorization: ApiKey {variable_in_a_shell("ES_API_KEY")}") '
    return words + ('--cacert "$ES_CA_CERTS" ' if settings.es_ca_certs else "")
