"""The commands of the embedded Elasticsearch."""

from typing import Any

import click

from ingest.cli.common import embedded, say
from ingest.cli.options import takes
from ingest.settings import Settings


@click.group()
def node() -> None:
    """The embedded Elasticsearch, which is used when ES_URL is unset."""


@node.command("start")
@takes("heap")
@click.pass_obj
def node_start(flags: dict[str, Any]) -> int:
    """Start it, or find the one that runs."""
    say(embedded(Settings.gather(flags)).start().url)
    return 0


@node.command("stop")
def node_stop() -> int:
    """Stop it; its data stay."""
    settings = Settings.gather({})
    say("stopped" if embedded(settings).stop() else "was not running")
    return 0


@node.command("status")
def node_status() -> int:
    """Say whether and where it runs."""
    settings = Settings.gather({})
    running = embedded(settings).status()
    say(
        "not running" if running is None else f"Elasticsearch {running.version} at {running.url}, process {running.pid}"
    )
    return 0
