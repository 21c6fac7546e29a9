"""What Perceval's items depend on besides the commits themselves."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ingest.git import command
from ingest.git.command import GitFailedError
from ingest.git.store import Store, path_of

# Each may change what git says of commits; the last two cut histories off.
_FILES: Final = ("config", "info/attributes", "info/grafts", "shallow")
_COMMANDS: Final = (
    # Rename detection is not the same in all versions.
    ("version",),
    # How many digits git abbreviates hashes to grows with the repository.
    ("for-each-ref", "--count=1", "--format=%(objectname:short)", "refs/heads", "refs/tags"),
    ("for-each-ref", "--format=%(refname) %(objectname)", "refs/replace"),
)
# Some versions take the attributes of a bare repository, too, from HEAD.
_IN_HEAD: Final = ("HEAD:.mailmap", "HEAD:.gitattributes")


@contextmanager
def opened(mirror: Path, limit: int) -> Iterator[Store]:
    """The store of a mirror, emptied if the grounds of its items have changed. To be called with the mirror held.

    :param limit: bytes, see `Store`
    :raises RepositoryRefusedError: git cannot be started in the mirror
    """
    with Store(path_of(mirror), limit) as store:
        now = grounds(mirror)
        if store.grounds != now:
            store.clear()
            store.grounds = now
        yield store


def grounds(mirror: Path) -> str:
    """Words that change when git may say something else of the same commits than before.

    Not told: an abbreviated hash that takes one more digit than others do, because it has become ambiguous.

    :raises RepositoryRefusedError: git cannot be started in the mirror
    """
    version, shortest, replaced = (_said(mirror, arguments) for arguments in _COMMANDS)
    mailmap, _, attributes = _said(mirror, ("cat-file", "--batch-check"), _IN_HEAD).partition("\n")
    return " ".join([
        version.removeprefix("git version ").strip(),
        f"abbreviations {len(shortest.strip())}",
        f"mailmap {mailmap}",
        f"others {_digest(attributes, replaced, *(_content(mirror / name) for name in _FILES))}",
    ])  # fmt: skip


def _said(mirror: Path, arguments: Sequence[str], given: Iterable[str] = ()) -> str:
    """What a git command writes; of a damaged repository, why it failed."""
    try:
        return "".join(command.run(mirror, arguments, given))
    except GitFailedError as error:
        return str(error)


def _content(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    return ""


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()[:16]
