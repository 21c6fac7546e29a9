"""The commands that look at what is indexed."""

from typing import Any

import click

from ingest.cli.common import connected, say, settings_of
from ingest.cli.options import takes
from ingest.status import status as look
from ingest.text import json_text


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@takes("index", "retry_for", "heap")
@click.pass_obj
def status(flags: dict[str, Any], as_json: bool) -> int:
    """Say what the index holds, of which repositories, and how their last runs ended."""
    settings = settings_of(flags)
    found = look(connected(settings), settings)
    if as_json:
        say(json_text(found.to_json(), indent=True))
    else:
        for line in found.lines():
            say(line)
    return 0
