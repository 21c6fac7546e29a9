"""Flags that say which commits are meant."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_KEY = "ingest.filters"


class TextCommand(click.Command):
    """A command whose arguments are words, one of which may begin like a flag."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The base class's."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name.startswith("--"):
                raise
            raise click.UsageError(
                f"No such option: {error.option_name}. To exclude a word, put all of them in quotes: 'fix -typo'", ctx
            ) from None


def _keep(context: click.Context, param: click.Parameter, value: Any) -> None:
    context.meta.setdefault(_KEY, {})[param.name] = value


def takes_filters(function: Command) -> Command:
    """Give a command the flags of a request and its words; `filters_of` gives their values."""
    for decorate in reversed(_OPTIONS):
        function = decorate(function)
    return function


def filters_of(context: click.Context) -> dict[str, Any]:
    """What the fields of `ingest.search.query.Request` are to be, ``origins`` as the user named them."""
    values = dict(context.meta[_KEY])
    values["text"] = " ".join(values["text"])
    return values


def _option(*names: str, multiple: bool = False, type: Any = None, metavar: str | None = None, help: str) -> Any:  # noqa: A002
    return click.option(
        *names,
        multiple=multiple,
        type=type,
        metavar=metavar,
        help=help,
        default=None,
        callback=_keep,
        expose_value=False,
    )


_OPTIONS = (
    click.argument("text", nargs=-1, metavar="[WORDS...]", callback=_keep, expose_value=False),
    _option("--author", "authors", multiple=True, metavar="TEXT",
            help="Author whose name or e-mail holds this, in upper or lower case. Again: or that one."),
    _option("--email", "emails", multiple=True, metavar="TEXT",
            help="Author's e-mail, or a part of it such as @example.org."),
    _option("--path", "paths", multiple=True, metavar="PATH",
            help="File or folder that is touched, from the repository's top, or a pattern such as 'src/*.py'."),
    _option("--repo", "origins", multiple=True, metavar="REPO",
            help="Repository as it was loaded, or a part of its address that no other has."),
    _option("--project", metavar="TEXT", help="Label that was given with load --project."),
    _option("--since", metavar="DATE",
            help="Commit date of the oldest, UTC: 2025, 2025-03, 2025-03-31, 2w (two weeks ago), 6M, 1y."),
    _option("--until", metavar="DATE", help="Commit date of the newest; 2025 is its last second."),
    _option("--merges/--no-merges", "merges", help="Merges only, or none. Without: both."),
    _option("--min-lines", type=click.IntRange(min=0), metavar="N",
            help="More than N lines added and removed together."),
)  # fmt: skip
