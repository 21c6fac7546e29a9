"""Running git in a mirror: reading no configuration it need not, its failures put into our words."""

import io
import os
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TypeAlias, cast

from ingest.errors import RepositoryRefusedError, RepositoryUnavailableError
from ingest.text import printable

Lines: TypeAlias = Generator[str, None, None]

# glibc gives memory back to the system, and takes it again, for nearly every file that git compares: without these,
# git's system time was three times as long. Other systems ignore them.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_TOP_PAD_": str(4 << 20),
}


def reading_environment() -> dict[str, str]:
    """The environment in which git's output depends on the mirror alone, and nothing is ever fetched.

    No configuration or attributes of the user or the system. Older git does not know ``GIT_NO_LAZY_FETCH`` (2.45, and
    security releases since 2.39.4): for it, no protocol is allowed; nor ``GIT_CONFIG_GLOBAL`` (2.32): for it, there is
    no ``HOME``.
    """
    kept = {name: os.environ[name] for name in ("PATH", "GIT_EXEC_PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "LANG": "C",
        "LC_ALL": "C",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
    } | _MALLOC  # fmt: skip


class GitFailedError(Exception):
    """Git ended with an error, or by a signal, before it had written everything.

    :param status: git's exit status, or the negative number of the signal that ended it
    :param reason: git's last words, without "fatal:"
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def run(mirror: Path, arguments: Sequence[str], given: Iterable[str] = ()) -> Lines:
    """The lines that a git command writes, with ``given``, one in a line, as its standard input.

    The command must read all of that before it writes. Git is gone when the generator is closed.

    :raises GitFailedError: after the last line, when git did not end well
    :raises RepositoryRefusedError: when git cannot be started there
    :raises RepositoryUnavailableError: when the machine lacks what that takes
    """
    with scratch() as complaints, _start(mirror, arguments, complaints) as git:
        stdin, stdout = cast(IO[bytes], git.stdin), cast(IO[bytes], git.stdout)
        try:
            with suppress(BrokenPipeError), stdin:
                stdin.write("".join(f"{line}\n" for line in given).encode())
            with io.TextIOWrapper(stdout, "utf-8", "surrogateescape", newline="\n") as lines:
                yield from lines
            status = git.wait()
        finally:
            git.kill()
        if status:
            complaints.seek(0)
            reason = last_words(said(complaints.read()))
            raise GitFailedError(status, f"git ended by signal {-status}" if status < 0 else reason)


@contextmanager
def scratch() -> Iterator[IO[bytes]]:
    """A file for what a command says, which nobody else sees and which is gone afterwards.

    :raises RepositoryUnavailableError: there is no room for it
    """
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - see below
    except OSError as error:
        raise RepositoryUnavailableError(
            f"No temporary file can be made ({error.strerror})",
            "see to room and rights in the folder for such files (TMPDIR), and to the limit of open files (ulimit -n)",
        ) from None
    with file:
        yield file


def _start(mirror: Path, arguments: Sequence[str], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    # In the mirror, as Perceval does it: git then knows it for bare, and finds no other repository above it.
    surroundings = reading_environment() | {"GIT_CEILING_DIRECTORIES": str(mirror.absolute().parent)}
    try:
        return subprocess.Popen(
            ["git", "--no-pager", *arguments],
            cwd=mirror,
            env=surroundings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise RepositoryRefusedError(
            f"git cannot be started in {mirror} ({error.strerror})", "check that git and that folder are there"
        ) from error
    except OSError as error:
        raise RepositoryUnavailableError(
            f"git cannot be started in {mirror} ({error.strerror})",
            "see whether this machine is short of memory, processes or open files (ulimit -a)",
        ) from error


def lines(mirror: Path, arguments: Sequence[str], given: Iterable[str] = ()) -> Iterator[str]:
    """The lines that a git command writes in a mirror, without their ends; see :func:`run` for ``given``.

    :raises RepositoryRefusedError: after the last line, when git did not end well
    """
    try:
        for line in run(mirror, arguments, given):
            yield line.rstrip("\n")
    except GitFailedError as error:
        raise RepositoryRefusedError(
            f"git cannot read the mirror {mirror} ({error})",
            "remove that folder, and the next run clones the repository again",
        ) from None


@cache
def version() -> str:
    """Git's version, such as ``2.39.5``.

    :raises RepositoryRefusedError: git cannot be started
    """
    return next(lines(Path.cwd(), ["version"]), "").removeprefix("git version ")


def said(complaint: bytes) -> list[str]:
    """The lines that git wrote on its standard error, without what a remote could do to a terminal."""
    text = complaint.decode("utf-8", "replace").replace("\r", "\n")
    return [printable(line).strip() for line in text.split("\n") if line.strip()]


def last_words(lines: list[str]) -> str:
    """The last line that says something."""
    telling = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    return bare((telling or lines or ["it said nothing"])[-1])


def bare(line: str) -> str:
    """A line without "fatal:", and not too long."""
    return line.removeprefix("fatal: ").removeprefix("error: ").rstrip(".")[:300]
