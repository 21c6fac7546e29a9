"""What several commands begin with, and how they speak."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import elasticsearch

from ingest import logs
from ingest.errors import UsageError
from ingest.index import connection
from ingest.settings import Settings
from ingest.text import printable

if TYPE_CHECKING:
    from ingest.node import Node

_log = logging.getLogger(__name__)


def say(line: str) -> None:
    """Print a result, whoever wrote the names in it.

    :raises UsageError: standard output takes nothing
    """
    with writing_results():
        click.echo(printable(line))


@contextmanager
def writing_results() -> Iterator[None]:
    """In this block, the one thing that files have to do with is standard output.

    :raises UsageError: it takes nothing
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"The results cannot be written to standard output ({error.strerror})", "see where that leads"
        ) from None


def program() -> str:
    """How this command is called, so that it can be pasted."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "ingest" else "ingest"


def embedded(settings: Settings) -> "Node":
    """The Elasticsearch on this machine, running or not."""
    # Imported here, because who has an Elasticsearch need not wait for what fetches one.
    from ingest.node import Node  # noqa: PLC0415

    return Node(settings.home, heap=settings.heap, say=_log.info)


def settings_of(flags: dict[str, Any]) -> Settings:
    """The settings, those of the log put into effect."""
    settings = Settings.gather(flags)
    logs.style(quiet=settings.quiet, log_format=settings.log_format)
    return settings


def shows_progress(settings: Settings) -> bool:
    """Whether bars are wanted, and somebody sees them."""
    return sys.stderr.isatty() and not settings.quiet and settings.log_format == "text"


def located(settings: Settings) -> Settings:
    """The same settings with the URLs of an Elasticsearch that runs: where none is named, ours, which is started.

    :raises IngestError: it cannot be started
    """
    return settings if settings.es_url else replace(settings, es_url=(embedded(settings).start().url,))


def connected(settings: Settings) -> elasticsearch.Elasticsearch:
    """A client of the Elasticsearch that is configured, or of our own, which is started.

    :raises IngestError: it cannot be
    """
    settings = located(settings)
    for url in connection.unprotected(settings.es_url, credentials=bool(settings.es_api_key or settings.es_username)):
        _log.warning("What lets us in travels to %s unencrypted, and others on the way can read it: use https", url)
    return connection.of(settings)
