"""The system user that the server runs as: Elasticsearch refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import ElasticsearchRefusedError

UNPRIVILEGED_USER = "nobody"


@dataclass(frozen=True)
class Account:
    """A user and its main group, by number."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the user to run the server as when we are root, else None: it runs as we do."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED_USER)
    return Account(entry.pw_uid, entry.pw_gid)


def let_through(folder: Path, account: Account) -> None:
    """Let ``account`` pass through ``folder``, which is ours, to what it may reach by name."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not _may_pass(folder, account):
        folder.chmod(mode | 0o011)


def check_reachable(folder: Path, account: Account) -> None:
    """Check that ``account`` can pass through every folder above ``folder``.

    :raises ElasticsearchRefusedError: one is closed to it
    """
    closed = closed_parent(folder, account)
    if closed is not None:
        raise ElasticsearchRefusedError(
            f"{closed} is closed to other users, and as root Elasticsearch runs as the user "
            f"{UNPRIVILEGED_USER}, who must reach {folder}",
            "set INGEST_HOME to a folder that every user can reach, such as one under /var/lib or /srv",
        )


def closed_parent(folder: Path, account: Account) -> Path | None:
    """Return the outermost folder above ``folder`` that ``account`` cannot pass through."""
    return next((parent for parent in reversed(folder.parents) if not _may_pass(parent, account)), None)


_PASSAGE = """
set -e; umask 022
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p "/mnt/$2"
mount --bind "$1/$2" "/mnt/$2"
mount --rbind /mnt "$1"
uid=$3 gid=$4; shift 4
exec setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@"
"""


def passage(folder: Path, account: Account) -> list[str]:
    """Return the words that, put before root's command, run it as ``account`` where it reaches ``folder``.

    A closed folder above it, such as root's own, is left as it is: in the command's own view of the file system, an
    empty one stands in its place, which holds nothing but ``folder``, under its own name. None are needed where no
    folder is closed.

    :raises ElasticsearchRefusedError: a folder is closed, and this machine gives no process a view of its own
    """
    closed = closed_parent(folder, account)
    if closed is None:
        return []
    tools = all(shutil.which(tool) for tool in ("unshare", "mount", "setpriv"))
    if not tools or subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode != 0:
        check_reachable(folder, account)
    inner = str(folder.relative_to(closed))
    numbers = str(account.uid), str(account.gid)
    return ["unshare", "--mount", "sh", "-c", _PASSAGE, "sh", str(closed), inner, *numbers]


def _may_pass(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def private_folder(folder: Path, account: Account | None) -> None:
    """Make ``folder`` when missing, closed to others, and give it with all in it to the server's user."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is None:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            hand_over(Path(parent, name), account)
    hand_over(folder, account)


def hand_over(path: Path, account: Account | None) -> None:
    """Give ``path`` to the server's user; of a link, the link itself."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
