"""The bare clone of a repository that everything is read from: cloned whole or not at all, fetched, locked."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import filelock

from ingest.errors import RepositoryBusyError, RepositoryRefusedError, UsageError
from ingest.git import command
from ingest.git.remote import Remote

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


def update(mirror: Path, remote: Remote, *, show: bool) -> None:
    """Bring a mirror up to date with its remote: clone it where it is missing, else fetch branches and tags.

    To be called with the mirror held.

    :param show: let git show its progress on standard error
    :raises UsageError: the folder holds something else than a mirror of this repository
    :raises RepositoryRefusedError: the repository, or the disk, will not do it
    :raises RepositoryUnavailableError: the repository's host does not answer
    """
    progress = "--progress" if show else "--quiet"
    if not mirror.exists():
        _clone(mirror, remote, progress, show=show)
        return
    _check_is_mirror_of(mirror, remote)
    command.talk(
        [
            f"--git-dir={mirror}",
            # A clean-up that goes on behind our back would be a process left behind.
            "-c", "gc.autoDetach=false",
            "-c", "maintenance.autoDetach=false",
            "fetch", progress, "--prune", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head",
            "origin", *_EVERY_BRANCH_AND_TAG,
        ],
        remote=remote,
        show=show,
    )  # fmt: skip
    _follow_head(mirror, remote)


def _follow_head(mirror: Path, remote: Remote) -> None:
    """Where the branch that ``HEAD`` names is gone, take the remote's default branch: the mailmap is read there."""
    with contextlib.suppress(RepositoryRefusedError):
        list(command.lines(mirror, ["rev-parse", "--verify", "--quiet", "HEAD"]))
        return
    said = command.talk([f"--git-dir={mirror}", "ls-remote", "--symref", "origin", "HEAD"], remote=remote, show=False)
    if match := re.match(r"ref: (refs/heads/\S+)\tHEAD\n", said):
        list(command.lines(mirror, ["symbolic-ref", "HEAD", match[1]]))


def _clone(mirror: Path, remote: Remote, progress: str, *, show: bool) -> None:
    """Clone beside the place and move there when whole, so that a killed clone is never taken for a mirror."""
    _check_is_repository(Path(remote.origin))
    partial = mirror.with_name(mirror.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
    except OSError as error:
        raise _unwritable(mirror.parent, error) from None
    try:
        # The hooks of a user's template folder are not wanted in a mirror.
        command.talk(
            ["clone", "--bare", "--template=", progress, "--", remote.origin, os.fspath(partial)],
            remote=remote,
            show=show,
        )
        partial.rename(mirror)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
