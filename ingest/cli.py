"""The commands: parse, build the settings, call, turn the outcome into an exit code."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
import elasticsearch

from ingest import logs, pipeline
from ingest.errors import IngestError, UsageError
from ingest.git.remote import Remote
from ingest.index import connection, manage, rejects
from ingest.index.bulk import Target
from ingest.index.state import State
from ingest.pipeline import SOME_LACKING, Job
from ingest.progress import Tally
from ingest.reindex import reindex as rebuild
from ingest.settings import Settings, boolean, default_shown
from ingest.status import status as look
from ingest.text import json_text, printable
from ingest.verify import verify as check

if TYPE_CHECKING:
    from ingest.node import Node

_log = logging.getLogger(__name__)

_OF_ONE_REPOSITORY = (4, 6)
"""Exit codes that say nothing about the next repository."""


class _StoppedError(BaseException):
    """SIGINT or SIGTERM, raised so that every ``finally`` on the way out is passed."""

    def __init__(self, number: int) -> None:
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


class _Parsed(click.ParamType[Any]):
    """A click type made of a function of `ingest.settings`."""

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.name = "value"
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


Command = TypeVar("Command", bound=Callable[..., Any])


def _takes(*names: str) -> Callable[[Command], Command]:
    """Give a command the flags of these settings; their values are in the context's object, by field name."""

    def keep(context: click.Context, param: click.Parameter, value: Any) -> None:
        context.ensure_object(dict)[param.name] = value

    def decorate(function: Command) -> Command:
        for setting in reversed([each for each in fields(Settings) if each.name in names]):
            metadata = setting.metadata
            shown = default_shown(setting.name)
            is_flag = metadata["parse"] is boolean
            function = click.option(
                metadata["flag"],
                setting.name,
                type=None if is_flag else _Parsed(metadata["parse"]),
                is_flag=is_flag,
                default=None,
                multiple=metadata["many"],
                callback=keep,
                expose_value=False,
                metavar=None if is_flag else metadata["flag"].strip("-").upper(),
                help=f"{metadata['meaning'].capitalize()}. [{metadata['variable']}; default: {shown}]",
            )(function)
        return function

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="ingest")
def cli() -> None:
    """Keeps an Elasticsearch index equal to the commit history of git repositories.

    Where Elasticsearch is and how to be let in is told by the environment: ES_URL, ES_API_KEY or ES_USERNAME and
    ES_PASSWORD, ES_CA_CERTS. Without ES_URL a server is started on this machine and left running.
    """


@cli.command()
@click.argument("repositories", metavar="REPO...", nargs=-1, envvar="INGEST_REPO")
@_takes(
    "index", "chunk_size", "chunk_bytes", "retry_for", "branches", "since", "until", "gitpath", "workers",
    "items_bytes", "remote_timeout", "project", "wait", "quiet", "log_format", "heap",
)  # fmt: skip
@click.pass_obj
def load(flags: dict[str, Any], repositories: tuple[str, ...]) -> int:
    """Make the index equal to repositories: URLs or paths."""
    settings = _settings(flags)
    if not repositories:
        raise UsageError("No repository was named", 'name one or more: make ingest REPO="URL-or-path …"')
    if settings.gitpath is not None and len(repositories) > 1:
        raise UsageError("--gitpath was given for several repositories", "load them one by one, each with its own")
    remotes = [Remote.parse(repository) for repository in dict.fromkeys(repositories)]

    def work(target: Target, refused: rejects.Rejects) -> tuple[Tally, int]:
        job, tally = Job(settings, target, _state(target), refused, _show(settings)), Tally()

        def load_one(remote: Remote) -> int:
            done = _loaded(remote, job, say=len(remotes) > 1)
            tally.add(done)
            return SOME_LACKING if done.lacking else 0

        return tally, _for_each(remotes, load_one)

    return _send(settings, work)


@cli.command()
@click.argument("repositories", metavar="[REPO...]", nargs=-1, envvar="INGEST_REPO")
@_takes(
    "index", "chunk_size", "chunk_bytes", "retry_for", "workers", "items_bytes", "remote_timeout", "keep", "wait",
    "quiet", "log_format", "heap",
)  # fmt: skip
@click.pass_obj
def reindex(flags: dict[str, Any], repositories: tuple[str, ...]) -> int:
    """Build the index anew beside the live one, and swap them when it is complete.

    REPO: the repositories to read, what the index holds of others is taken over; none: all that the index knows.
    """
    settings = _settings(flags)
    remotes = [Remote.parse(repository) for repository in dict.fromkeys(repositories)]
    started = time.monotonic()
    client = _connected(settings)
    with _listed(settings) as refused:
        tally = rebuild(client, remotes, settings, refused, show=_show(settings))
    _say_done(settings, client, tally, time.monotonic() - started)
    return SOME_LACKING if tally.lacking else 0


@cli.command()
@click.argument("repositories", metavar="[REPO...]", nargs=-1, envvar="INGEST_REPO")
@click.option("--repair", is_flag=True, help="Mend what differs.")
@_takes(
    "index",
    "chunk_size",
    "chunk_bytes",
    "retry_for",
    "workers",
    "items_bytes",
    "remote_timeout",
    "wait",
    "quiet",
    "log_format",
    "heap",
)
@click.pass_obj
def verify(flags: dict[str, Any], repositories: tuple[str, ...], repair: bool) -> int:
    """Compare the index with repositories, document for document, and say what differs.

    REPO: the repositories; none: all that the index knows.
    """
    settings = _settings(flags)
    client = _connected(settings)
    if manage.behind(client, settings.index) is None:
        raise UsageError(f"{settings.index} does not exist", "load a repository first: make ingest REPO=…")
    target = _target(client, settings)
    state = _state(target)
    known = {entry.origin: entry.reached for entry in state.entries()}
    remotes = [Remote.parse(repository) for repository in dict.fromkeys(repositories or known)]
    if not remotes:
        raise UsageError(f"{settings.index} knows no repository", "load one first: make ingest REPO=…")

    def compare(remote: Remote) -> int:
        job = Job(pipeline.as_before(settings, known.get(remote.origin)), target, state, refused, _show(settings))
        findings, tally = check(remote, job, repair=repair, say=_say)
        mended = f"; {tally}" if repair and findings.count else ""
        if findings.count or not settings.quiet:
            _say(f"{remote.origin}: {findings.equal:,} equal, {findings.count:,} different{mended}")
        return SOME_LACKING if (tally.lacking if repair else findings.count) else 0

    with _listed(settings) as refused:
        return _for_each(remotes, compare)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_takes("index", "retry_for", "heap")
@click.pass_obj
def status(flags: dict[str, Any], as_json: bool) -> int:
    """Say what the index holds, of which repositories, and how their last runs ended."""
    settings = _settings(flags)
    found = look(_connected(settings), settings)
    if as_json:
        click.echo(json_text(found.to_json(), indent=True))
    else:
        for line in found.lines():
            _say(line)
    return 0


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@_takes("chunk_size", "chunk_bytes", "retry_for", "quiet", "log_format", "heap")
@click.pass_obj
def replay(flags: dict[str, Any], file: Path) -> int:
    """Send the documents of a file of rejects again.

    The file is removed at the end: what is rejected again is in a new one.
    """
    alias = next((alias for alias, _ in rejects.read(file)), None)
    if alias is None:
        raise UsageError(f"{file} holds no rejected document", "name a file of rejects that does")
    settings = _settings({**flags, "index": alias})

    def work(target: Target, refused: rejects.Rejects) -> tuple[Tally, int]:
        tally = pipeline.replay(file, target, refused, show=_show(settings))
        return tally, SOME_LACKING if tally.lacking else 0

    code = _send(settings, work)
    file.unlink()
    return code


@cli.group()
def node() -> None:
    """The embedded Elasticsearch, which is used when ES_URL is unset."""


@node.command("start")
@_takes("heap")
@click.pass_obj
def node_start(flags: dict[str, Any]) -> int:
    """Start it, or find the one that runs."""
    click.echo(_node(Settings.gather(flags)).start().url)
    return 0


@node.command("stop")
def node_stop() -> int:
    """Stop it; its data stay."""
    settings = Settings.gather({})
    click.echo("stopped" if _node(settings).stop() else "was not running")
    return 0


@node.command("status")
def node_status() -> int:
    """Say whether and where it runs."""
    settings = Settings.gather({})
    running = _node(settings).status()
    click.echo(
        "not running" if running is None else f"Elasticsearch {running.version} at {running.url}, process {running.pid}"
    )
    return 0


def _say(line: str) -> None:
    """Print a result, whoever wrote the names in it."""
    click.echo(printable(line))


def _node(settings: Settings) -> "Node":
    # Imported here, because who has an Elasticsearch need not wait for what fetches one.
    from ingest.node import Node  # noqa: PLC0415

    return Node(settings.home, heap=settings.heap, say=_log.info)


def _settings(flags: dict[str, Any]) -> Settings:
    """The settings, those of the log put into effect."""
    settings = Settings.gather(flags)
    logs.style(quiet=settings.quiet, log_format=settings.log_format)
    return settings


def _show(settings: Settings) -> bool:
    return sys.stderr.isatty() and not settings.quiet and settings.log_format == "text"


def _connected(settings: Settings) -> elasticsearch.Elasticsearch:
    return connection.connect(
        settings.es_url or (_node(settings).start().url,),
        api_key=settings.es_api_key,
        username=settings.es_username,
        password=settings.es_password,
        ca_certs=None if settings.es_ca_certs is None else str(settings.es_ca_certs),
    )


Work = Callable[[Target, rejects.Rejects], tuple[Tally, int]]


def _send(settings: Settings, work: Work) -> int:
    """Connect, let `work` send, say what was done, and give the exit code."""
    started = time.monotonic()
    client = _connected(settings)
    target = _target(client, settings)
    with _listed(settings) as refused, manage.tuned_for_first_load(client, target.index, settings.retry_for):
        tally, code = work(target, refused)
    _say_done(settings, client, tally, time.monotonic() - started)
    return code


def _target(client: elasticsearch.Elasticsearch, settings: Settings) -> Target:
    index = manage.prepare(client, settings.index)
    return Target(client, settings.index, index, settings.chunk_size, settings.chunk_bytes, settings.retry_for)


def _state(target: Target) -> State:
    state = State(target.client, target.alias, target.index, target.retry_for)
    state.create()
    return state


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
    return next(code for code in (*_OF_ONE_REPOSITORY, SOME_LACKING, 0) if code in codes)


def _loaded(remote: Remote, job: Job, *, say: bool) -> Tally:
    started = time.monotonic()
    tally = pipeline.load(remote, job)
    if tally.lacking and job.rejects.path is None:
        _log.warning("%s: %s commits are still lacking; earlier lists in %s say which, and why",
                     remote.origin, f"{tally.lacking:,}", job.settings.home / "rejects")  # fmt: skip
    if say or job.settings.log_format == "json":
        figures = {"origin": remote.origin, "seconds": round(time.monotonic() - started, 3)} | vars(tally)
        _log.info("%s: %s", remote.origin, tally, extra={"figures": figures})
    return tally


def _say_done(settings: Settings, client: elasticsearch.Elasticsearch, tally: Tally, seconds: float) -> None:
    if settings.quiet:
        return
    total = manage.count(client, settings.index, settings.retry_for)
    where = connection.shown(client)
    first = where.split(", ")[0]
    let_in = ""
    if settings.es_username:
        let_in = '-u "$ES_USERNAME" '
    elif settings.es_api_key:
        let_in = '-H "Authorization: ApiKey $ES_API_KEY" '
    if settings.es_ca_certs:
        let_in += '--cacert "$ES_CA_CERTS" '
    address = f"{first}/{settings.index}"
    _say(
        f"{tally} in {seconds:.1f} s; "
        f"{settings.index} at {where} now holds {total:,}. Look at it:\n"
        f"  curl {let_in}'{address}/_count?pretty'\n"
        f"  curl {let_in}'{address}?pretty'\n"
        f"  curl {let_in}'{address}/_search?pretty&size=3&sort=commit_date:desc&q=message:fix'"
    )


@contextmanager
def _signals() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _StoppedError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run() -> int:
    try:
        with _signals():
            code = cli.main(prog_name="ingest", standalone_mode=False)
            return int(code or 0)
    except _StoppedError as stopped:
        _log.error("Stopped by %s. It is safe to run again.", stopped.name)
        return stopped.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except IngestError as error:
        _log.error("%s", error)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; what Python flushes at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def main() -> None:
    """The entry point of the ``ingest`` command."""
    logs.start()
    sys.exit(_run())
