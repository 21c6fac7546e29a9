"""Which folders are changed most: found among the paths that are changed most, then counted exactly."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

CANDIDATES: Final = 40
"""Folders that are counted."""
DEEPEST: Final = 4
"""Levels of folders that a repository may hide its own parts behind, as in ``src/main/java/org``."""
FEW: Final = 10
"""A level with fewer folders than that says little."""
TOP: Final = "(top level)"
"""Stands for the files that are in no folder."""

_SPECIAL: Final = re.compile(r'[.?+*|{}\[\]()"\\#@&<>~^$-]')
"""What Lucene's regular expressions take for more than a character."""


def candidates(paths: Mapping[str, int]) -> list[str]:
    """Folders in which most happens, as patterns: ``a/b/`` with all that is below, ``a/*`` the files in it alone.

    :param paths: commits by path
    """
    for depth in range(1, DEEPEST + 1):
        found: Counter[str] = Counter()
        for path, commits in paths.items():
            found[_folder(path, depth)] += commits
        largest = max(found.values(), default=0)
        if len(found) >= FEW and largest * 2 < found.total():
            break
    return [folder for folder, _ in found.most_common(CANDIDATES)]


def _folder(path: str, depth: int) -> str:
    *parents, _ = path.split("/")
    return "/".join([*parents[:depth], ""]) if len(parents) >= depth else "/".join([*parents, "*"])


def shown(folder: str) -> str:
    """A folder as it is called on the page."""
    return TOP if folder == "*" else folder


def queries(folders: Iterable[str]) -> dict[str, Any]:
    """What finds the commits that touch each of these folders."""
    return {folder: _query(folder) for folder in folders}


def _query(folder: str) -> dict[str, Any]:
    if folder.endswith("/"):
        return {"prefix": {"files.path": folder}}
    parent = _SPECIAL.sub(r"\\\g<0>", folder.removesuffix("*"))
    return {"regexp": {"files.path": {"value": f"{parent}[^/]+", "flags": "NONE"}}}
