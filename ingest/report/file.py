"""Writing the page: all of it or nothing."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from ingest.errors import UsageError


def check(path: Path) -> None:
    """See that a file can be made there, before anything is done for it.

    :raises UsageError: it cannot
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {path.parent}", "make it, or name another file")
    # What is neither a file nor a folder, such as /dev/null, is not ours to replace.
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} cannot be written: it is no file", "name another one, or - for standard output")


def write(path: Path, text: str) -> None:
    """Put a text into a file, instead of what it holds, with the permissions that the umask leaves.

    :raises UsageError: it cannot be written
    """
    check(path)
    # What a symbolic link leads to is replaced, not the link.
    target = path.resolve()
    unfinished = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(target)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"{path} cannot be written: {reason}", "name another file") from None
    finally:
        with suppress(OSError):
            unfinished.unlink()
