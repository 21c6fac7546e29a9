"""The command that makes the page with charts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ingest.cli.common import connected, say, settings_of, writing_results
from ingest.cli.options import takes
from ingest.git.remote import Remote
from ingest.index import manage
from ingest.report import file

_STANDARD_OUTPUT = Path("-")


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("report.html"), show_default=True, metavar="FILE",
    help="File to write, which anybody may then read whom your umask lets; - for standard output.",
)  # fmt: skip
@click.option(
    "--repo", "repositories", multiple=True, metavar="REPO", envvar="INGEST_REPO",
    help="Repository to look at alone, as it was loaded; again for more. [INGEST_REPO; default: all]",
)  # fmt: skip
@click.option("--title", help="Heading of the page.", metavar="TEXT")
@takes("index", "retry_for", "heap")
@click.pass_obj
def report(flags: dict[str, Any], out: Path, repositories: tuple[str, ...], title: str | None) -> int:
    """Make a page with charts of what the index holds: one HTML file that needs nothing else."""
    # Imported here, because the template engine takes a while, and other commands do without it.
    from ingest.report import figures, library, page  # noqa: PLC0415

    settings = settings_of(flags)
    origins = [Remote.parse(repository).origin for repository in dict.fromkeys(repositories)]
    if out != _STANDARD_OUTPUT:
        file.check(out)
    client = connected(settings)
    manage.check_exists(client, settings.index)
    found = figures.gather(client, settings.index, origins, settings.retry_for, datetime.now(UTC))
    text = page.render(found, library.library(settings.home / "report"), title)
    if out == _STANDARD_OUTPUT:
        with writing_results():
            click.echo(text, nl=False)
        return 0
    file.write(out, text)
    several = "repository" if found.count == 1 else "repositories"
    say(
        f"{out} shows {found.commits:,} commits of {found.count:,} {several}. "
        f"Open it in a browser: {out.resolve().as_uri()}"
    )
    return 0
