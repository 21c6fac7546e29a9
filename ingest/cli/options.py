"""Flags: made from the settings, their values gathered for the command."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from ingest.settings import Settings, boolean, default_shown


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


def takes(*names: str) -> Callable[[Command], Command]:
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
