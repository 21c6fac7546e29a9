"""The commands: parse, build the settings, call, turn the outcome into an exit code."""

import logging
import os
import sys
from typing import Any

import click

from ingest import logs
from ingest.cli.look import export, search, show, status
from ingest.cli.nodes import node
from ingest.cli.report import report
from ingest.cli.write import load, reindex, replay, verify
from ingest.defect import described
from ingest.errors import IngestError
from ingest.stops import StoppedError, stopped_by_signals

_log = logging.getLogger(__name__)


class _UnreadError(Exception):
    """Whoever read our output has seen enough. Click makes an exit code of its own of the pipe that broke."""


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _UnreadError from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="ingest")
def cli() -> None:
    """Keeps an Elasticsearch index equal to the commit history of git repositories.

    Where Elasticsearch is and how to be let in is told by the environment: ES_URL, ES_API_KEY or ES_USERNAME and
    ES_PASSWORD, ES_CA_CERTS. Without ES_URL a server is started on this machine and left running.
    """


for _command in (load, reindex, replay, verify, status, search, show, export, report, node):
    cli.add_command(_command)


def _run() -> int:
    try:
        with stopped_by_signals():
            code = cli.main(prog_name="ingest", standalone_mode=False)
            return int(code or 0)
    except StoppedError as stopped:
        _log.error("Stopped by %s. It is safe to run again.", stopped.name)
        return stopped.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except IngestError as error:
        _log.error("%s", error)
        return error.exit_code
    except _UnreadError:
        # What Python flushes at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        _log.critical("%s", described(error))
        return 1


def _open_streams() -> None:
    """Open those standard streams that were closed: else the next files would take their numbers, and what is said."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest number that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - it stays open


def main() -> None:
    """The entry point of the ``ingest`` command."""
    _open_streams()
    logs.start()
    sys.exit(_run())
