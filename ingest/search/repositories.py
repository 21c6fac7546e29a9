"""Which of the repositories in an index somebody means."""

import re
from collections.abc import Sequence

from ingest.errors import UsageError
from ingest.git.remote import Remote

_SHOWN = 10


def meant(text: str, origins: Sequence[str]) -> str:
    """The origin that is meant: a repository as it was given to be loaded, its last name, or any part of its address.

    :param origins: all that there are
    :raises UsageError: it is none of them, or several
    """
    for found in (_given(text, origins), _called(text, origins), _holding(text, origins)):
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"--repo {text} may be one of {_listed(found)}", "write more of its address")
    known = f"it holds {_listed(origins)}" if origins else "it holds none"
    raise UsageError(f"The index holds no repository {text}", f"{known}; load others with make ingest REPO=…")


def _given(text: str, origins: Sequence[str]) -> list[str]:
    try:
        origin = Remote.parse(text).origin
    except UsageError:
        return []
    return [each for each in origins if each in (origin, text)]


def _called(text: str, origins: Sequence[str]) -> list[str]:
    return [each for each in origins if short(each) == text]


def _holding(text: str, origins: Sequence[str]) -> list[str]:
    return [each for each in origins if text.lower() in each.lower()]


def short(origin: str) -> str:
    """The last name of a repository's address."""
    return re.split(r"[/:]", origin.rstrip("/").removesuffix("/.git").removesuffix(".git").rstrip("/"))[-1] or origin


def _listed(origins: Sequence[str]) -> str:
    more = f" and {len(origins) - _SHOWN:,} more" if len(origins) > _SHOWN else ""
    return ", ".join(origins[:_SHOWN]) + more
