"""What git's log says of the refs that point to commits, which Perceval takes for an item's ``refs``."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from ingest.git import command
from ingest.git.log import CHOSEN

_REPLACED: Final = "refs/replace/"


def decorations(mirror: Path) -> dict[str, str]:
    """The decoration of each commit that has one, by hash, such as ``HEAD -> refs/heads/main, tag: refs/tags/v1``.

    It is what Perceval's own log prints, so it depends on git which refs count, and what else does: git before 2.39
    takes every ref, later ones branches, tags and remote-tracking branches. `ingest.git.perceval.refs` takes it apart.

    :raises RepositoryRefusedError: git cannot read the mirror
    """
    arguments = ("log", *CHOSEN, "--all", "--no-mailmap", "--no-patch", "--decorate=full", "--format=%H %D")
    rows = (line.partition(" ") for line in command.lines(mirror, arguments, _out_of_reach(mirror)))
    return {commit: decoration for commit, _, decoration in rows if decoration}


def _out_of_reach(mirror: Path) -> list[str]:
    """Decorated commits that no ref points to: a shallow clone's boundary ("grafted"), and replaced ones."""
    names = command.lines(mirror, ("for-each-ref", "--format=%(refname)", _REPLACED))
    commits = [name.removeprefix(_REPLACED) for name in names]
    with suppress(FileNotFoundError):
        commits += (mirror / "shallow").read_text(encoding="ascii").split()
    return commits
