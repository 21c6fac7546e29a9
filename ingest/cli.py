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
from tqdm import tqdm

from ingest import pipeline
from ingest.errors import IngestError, UsageError
from ingest.git.remote import Remote
from ingest.index import connection, manage, rejects
from ingest.index.bulk import Target
from ingest.progress import Tally
from ingest.settings import Settings, default_shown

if TYPE_CHECKING:
    from ingest.node import Node

_log = logging.getLogger(__name__)

SOME_LACKING = 3


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
            function = click.option(
                metadata["flag"],
                setting.name,
                type=_Parsed(metadata["parse"]),
                multiple=metadata["many"],
                callback=keep,
                expose_value=False,
                metavar=metadata["flag"].strip("-").upper(),
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
    "index", "chunk_size", "chunk_bytes", "retry_for", "branches", "gitpath", "workers", "items_bytes", "project",
    "heap",
)  # fmt: skip
@click.pass_obj
def load(flags: dict[str, Any], repositories: tuple[str, ...]) -> int:
    """Bring the index up to date with repositories: URLs or paths."""
    settings = Settings.gather(flags)
    if not repositories:
        raise UsageError("No repository was named", 'name one or more: make ingest REPO="URL-or-path …"')
    if settings.gitpath is not None and len(repositories) > 1:
        raise UsageError("--gitpath was given for several repositories", "load them one by one, each with its own")
    remotes = [Remote.parse(repository) for repository in dict.fromkeys(repositories)]
    return _send(settings, lambda target, refused: _load_each(remotes, settings, target, refused))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@_takes("chunk_size", "chunk_bytes", "retry_for", "heap")
@click.pass_obj
def replay(flags: dict[str, Any], file: Path) -> int:
    """Send the documents of a file of rejects again.

    The file is removed at the end: what is rejected again is in a new one.
    """
    alias = next((alias for alias, _ in rejects.read(file)), None)
    if alias is None:
        raise UsageError(f"{file} holds no rejected document", "name a file of rejects that does")
    settings = Settings.gather({**flags, "index": alias})
    code = _send(settings, lambda target, refused: (pipeline.replay(file, target, refused), 0))
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


def _node(settings: Settings) -> "Node":
    # Imported here, because who has an Elasticsearch need not wait for what fetches one.
    from ingest.node import Node  # noqa: PLC0415

    return Node(settings.home, heap=settings.heap, say=_log.info)


Work = Callable[[Target, rejects.Rejects], tuple[Tally, int]]


def _send(settings: Settings, work: Work) -> int:
    """Connect, let `work` send, say what was done, and give the exit code."""
    started = time.monotonic()
    urls = settings.es_url or (_node(settings).start().url,)
    client = connection.connect(
        urls,
        api_key=settings.es_api_key,
        username=settings.es_username,
        password=settings.es_password,
        ca_certs=None if settings.es_ca_certs is None else str(settings.es_ca_certs),
    )
    index = manage.prepare(client, settings.index)
    target = Target(client, settings.index, index, settings.chunk_size, settings.chunk_bytes, settings.retry_for)
    with (
        rejects.Rejects(settings.home / "rejects", settings.index) as refused,
        manage.tuned_for_first_load(client, index, settings.retry_for),
    ):
        try:
            tally, code = work(target, refused)
        finally:
            if refused.path is not None:
                _log.warning(
                    "What is not indexed, or not whole, is listed in %s; to send its documents again: ingest replay %s",
                    refused.path, refused.path,
                )  # fmt: skip
    _say_done(settings, target, tally, time.monotonic() - started)
    return code or (SOME_LACKING if tally.lacking else 0)


def _load_each(
    remotes: list[Remote], settings: Settings, target: Target, refused: rejects.Rejects
) -> tuple[Tally, int]:
    """Load one repository after the other. One that cannot be read does not keep the others from it."""
    tally, code = Tally(), 0
    for remote in remotes:
        try:
            tally += pipeline.load(remote, settings, target, refused, show=sys.stderr.isatty())
        except IngestError as error:
            if error.exit_code not in (4, 6) or len(remotes) == 1:
                raise
            _log.error("%s", error)
            code = 4 if 4 in (code, error.exit_code) else error.exit_code
    return tally, code


def _say_done(settings: Settings, target: Target, tally: Tally, seconds: float) -> None:
    total = manage.count(target.client, settings.index, settings.retry_for)
    where = connection.shown(target.client)
    first = where.split(", ")[0]
    let_in = ""
    if settings.es_username:
        let_in = '-u "$ES_USERNAME" '
    elif settings.es_api_key:
        let_in = '-H "Authorization: ApiKey $ES_API_KEY" '
    if settings.es_ca_certs:
        let_in += '--cacert "$ES_CA_CERTS" '
    address = f"{first}/{settings.index}"
    lacking = "".join(
        f", {count:,} {what}"
        for count, what in ((tally.incomplete, "of them incomplete"), (tally.unreadable, "unreadable"))
        if count
    )
    click.echo(
        f"{tally.indexed:,} commits indexed{lacking}, {tally.rejected:,} rejected in {seconds:.1f} s; "
        f"{settings.index} at {where} now holds {total:,}. Look at it:\n"
        f"  curl {let_in}'{address}/_count?pretty'\n"
        f"  curl {let_in}'{address}?pretty'\n"
        f"  curl {let_in}'{address}/_search?pretty&size=3&sort=commit_date:desc&q=message:fix'"
    )


class _StandardError(logging.Handler):
    """Log lines on standard error, above a bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(f"ingest: {record.getMessage()}", file=sys.stderr)


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


def _configure_log() -> None:
    # Only our own lines are shown: those of libraries may name what must not be named.
    logging.getLogger().addHandler(logging.NullHandler())
    log = logging.getLogger("ingest")
    log.setLevel(logging.INFO)
    log.addHandler(_StandardError())


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
    _configure_log()
    sys.exit(_run())
