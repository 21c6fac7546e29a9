"""The bare clone of a repository that everything is read from: cloned whole or not at all, fetched, locked.

Below INGEST_HOME it is ours, and disposable: where it is damaged, it is cloned again. One that a user named is left as
it is found.
"""

import contextlib
import glob
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import filelock

from ingest.errors import (
    IngestError,
    RepositoryBusyError,
    RepositoryRefusedError,
    RepositoryUnavailableError,
    UsageError,
)
from ingest.git import command, transfer
from ingest.git.remote import Remote

_log = logging.getLogger(__name__)
T = TypeVar("T")

_ANOTHER_CLONE_AFTER = 7 * 86400
"""Seconds; a repository that is damaged itself is not cloned again by every run."""
_LEFT = ("*.lock", "refs/**/*.lock", "objects/*.lock", "objects/info/**/*.lock", "objects/*/tmp_*", "gc.pid")
"""What a git that was killed leaves behind. No ref's name may end in ``.lock``."""
_EVERY_BRANCH_AND_TAG = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")


def folder(home: Path, remote: Remote) -> Path:
    """Where the mirror of a repository lies unless the user says otherwise."""
    return home / "mirrors" / f"{remote.name}.git"


@contextlib.contextmanager
def held(mirror: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a mirror against other runs on this machine; a crash releases it.

    :param wait: for as long as another run holds it
    :raises RepositoryBusyError: another run holds it
    :raises RepositoryRefusedError: the folder it lies in cannot be written
    """
    lock = filelock.FileLock(f"{mirror}.lock", timeout=-1 if wait else 0, mode=0o600)
    try:
        mirror.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except filelock.Timeout:
        raise RepositoryBusyError(f"Another run holds {mirror}", "wait until it has ended, or use --wait") from None
    except OSError as error:
        raise _unwritable(mirror.parent, error) from None
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Transfer:
    """How a mirror gets what is in its remote.

    :ivar timeout: seconds after which a silent remote is given up
    :ivar ours: whether the mirror is one below INGEST_HOME
    :ivar show: let git show its progress on standard error
    """

    remote: Remote
    timeout: float
    ours: bool
    show: bool

    def talk(self, *arguments: str, show: bool = True) -> str:
        """Run a git command that talks to the remote, see `ingest.git.transfer.talk`."""
        return transfer.talk(arguments, remote=self.remote, show=self.show and show, timeout=self.timeout)


def update(mirror: Path, way: Transfer) -> None:
    """Bring a mirror up to date with its remote: clone it where it is missing, else fetch branches and tags.

    To be called with the mirror held.

    :raises UsageError: the folder holds something else than a mirror of this repository
    :raises RepositoryRefusedError: the repository, or the disk, will not do it
    :raises RepositoryUnavailableError: the repository's host does not answer
    """
    if not mirror.exists():
        _clone(mirror, way)
        return
    if way.ours:
        _remove_what_a_killed_git_left(mirror)
    _check_is_mirror_of(mirror, way.remote)
    _fetch(mirror, way)


def offered(way: Transfer) -> list[str]:
    """The branches and tags that a remote has now, as ``git ls-remote`` prints them; nothing is fetched.

    :raises RepositoryRefusedError: the repository will not tell
    :raises RepositoryUnavailableError: the repository's host does not answer
    """
    said = way.talk("ls-remote", "--refs", "--heads", "--tags", "--", way.remote.origin, show=False)
    return said.splitlines()


def mending(mirror: Path, way: Transfer, work: Callable[[], T]) -> T:
    """Work with a mirror; where it proves to be damaged, clone it again, and work again.

    :raises IngestError: what `work` raises, for other reasons
    """
    try:
        return work()
    except (RepositoryRefusedError, RepositoryUnavailableError, UsageError) as error:
        if not (way.ours and mirror.exists() and _is_damaged(mirror)):
            raise
        _log.warning("The mirror %s is damaged, and is cloned again (%s)", mirror, error.what)
    _clone(mirror, way)
    return work()


def is_renewable(mirror: Path, way: Transfer) -> bool:
    """Whether it may help to clone a mirror again from which commits cannot be read."""
    renewed = _renewed(mirror)
    lately = renewed.exists() and abs(time.time() - renewed.stat().st_mtime) < _ANOTHER_CLONE_AFTER
    return way.ours and mirror.exists() and not lately


def renew(mirror: Path, way: Transfer) -> None:
    """Clone a mirror again; where that cannot be done, it stays as it is."""
    _log.warning("Commits cannot be read from the mirror %s, and it is cloned again", mirror)
    try:
        _renewed(mirror).touch(mode=0o600)
        _clone(mirror, way)
    except (IngestError, OSError) as error:
        _log.warning("That was not possible, and it stays as it is: %s", error)


def _renewed(mirror: Path) -> Path:
    """A file whose time says when the mirror was cloned again last."""
    return mirror.with_name(f"{mirror.name}.renewed")


def remove(mirror: Path, items: Path) -> None:
    """Remove a mirror, which is held, and all that belongs to it.

    :param items: where its items are kept
    :raises RepositoryRefusedError: the folder it lies in cannot be written
    """
    try:
        for folder in (mirror, _partial(mirror)):
            if folder.exists():
                shutil.rmtree(folder)
        for file in (_renewed(mirror), *items.parent.glob(f"{glob.escape(items.name)}*")):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(mirror.parent, error) from None


def _fetch(mirror: Path, way: Transfer) -> None:
    way.talk(
        f"--git-dir={mirror}",
        # A clean-up that goes on behind our back would be a process left behind.
        "-c", "gc.autoDetach=false",
        "-c", "maintenance.autoDetach=false",
        "fetch", "--progress", "--prune", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
        "origin", *_EVERY_BRANCH_AND_TAG,
    )  # fmt: skip
    _follow_head(mirror, way)


def _follow_head(mirror: Path, way: Transfer) -> None:
    """Where the branch that ``HEAD`` names is gone, take the remote's default branch: the mailmap is read there."""
    with contextlib.suppress(RepositoryRefusedError):
        list(command.lines(mirror, ["rev-parse", "--verify", "--quiet", "HEAD"]))
        return
    said = way.talk(f"--git-dir={mirror}", "ls-remote", "--symref", "origin", "HEAD", show=False)
    if match := re.match(r"ref: (refs/heads/\S+)\tHEAD\n", said):
        list(command.lines(mirror, ["symbolic-ref", "HEAD", match[1]]))


def _clone(mirror: Path, way: Transfer) -> None:
    """Clone beside the place and move there when whole, so that a killed clone is never taken for a mirror."""
    _check_is_repository(Path(way.remote.origin))
    partial = _partial(mirror)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
    except OSError as error:
        raise _unwritable(mirror.parent, error) from None
    try:
        # The hooks of a user's template folder are not wanted in a mirror.
        way.talk("clone", "--bare", "--template=", "--progress", "--", way.remote.origin, os.fspath(partial))
        if mirror.exists():
            shutil.rmtree(mirror)
        partial.rename(mirror)
    except OSError as error:
        raise _unwritable(mirror.parent, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(mirror: Path) -> Path:
    return mirror.with_name(f"{mirror.name}.partial")


def _remove_what_a_killed_git_left(mirror: Path) -> None:
    for pattern in _LEFT:
        for left in mirror.glob(pattern):
            left.unlink(missing_ok=True)


def _is_damaged(mirror: Path) -> bool:
    """Whether git cannot tell which commits there are."""
    try:
        is_bare = "true" in command.lines(mirror, ["rev-parse", "--is-bare-repository"])
        has_origin = any(command.lines(mirror, ["config", "--default", "", "remote.origin.url"]))
        for _ in command.lines(mirror, ["rev-list", "--quiet", "--all"]):
            pass
    except RepositoryRefusedError:
        return True
    return not (is_bare and has_origin)


def _check_is_mirror_of(mirror: Path, remote: Remote) -> None:
    if not mirror.is_dir() or "true" not in command.lines(mirror, ["rev-parse", "--is-bare-repository"]):
        raise UsageError(
            f"{mirror} is not a bare repository, and fetching would move its branches",
            "let --gitpath name a folder that does not exist yet, or a bare clone",
        )
    cloned_from = next(command.lines(mirror, ["config", "--default", "", "remote.origin.url"]), "")
    if not cloned_from or Remote.parse(cloned_from).origin != remote.origin:
        raise UsageError(
            f"{mirror} is not a mirror of {remote.origin}", "let --gitpath name that repository's own mirror"
        )


def _check_is_repository(path: Path) -> None:
    # Git itself says of any other folder that it does not exist.
    with contextlib.suppress(PermissionError):
        if path.is_absolute() and path.is_dir() and not any((path / name).exists() for name in (".git", "HEAD")):
            raise RepositoryRefusedError(f"{path} is not a git repository", "name the folder of one")


def _unwritable(path: Path, error: OSError) -> RepositoryRefusedError:
    return RepositoryRefusedError(
        f"The folder {path} cannot be written ({error.strerror or error})",
        "set INGEST_HOME to a folder on a disk with room that this user may write",
    )
