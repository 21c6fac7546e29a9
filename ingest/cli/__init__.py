"""The commands: parse, build the settings, call, turn the outcome into an exit code."""

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

from ingest import logs
from ingest.cli.look import status
from ingest.cli.nodes import node
from ingest.cli.write import load, reindex, replay, verify
from ingest.errors import IngestError

_log = logging.getLogger(__name__)


class _StoppedError(BaseException):
    """SIGINT or SIGTERM, raised so that every ``finally`` on the way out is passed."""

    def __init__(self, number: int) -> None:
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="ingest")
def cli() -> None:
    """Keeps an Elasticsearch index equal to the commit history of git repositories.

    Where Elasticsearch is and how to be let in is told by the environment: ES_URL, ES_API_KEY or ES_USERNAME and
    ES_PASSWORD, ES_CA_CERTS. Without ES_URL a server is started on this machine and left running.
    """


for _command in (load, reindex, replay, verify, status, node):
    cli.add_command(_command)


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
