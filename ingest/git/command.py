"""Running git: never prompting, never reading a configuration it need not, its failures put into our words."""

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeAlias, cast

from ingest.errors import (
    IngestError,
    RepositoryRefusedError,
    RepositoryUnavailableError,
)
from ingest.git.remote import SCHEMES, Remote

STALLED_AFTER = 60
"""Seconds without a byte after which a remote is given up."""

Lines: TypeAlias = Generator[str, None, None]

# glibc gives memory back to the system, and takes it again, for nearly every file that git compares: without these,
# git's system time was three times as long. Other systems ignore them.
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_TOP_PAD_": str(4 << 20),
}

_TAIL = 8192
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e\r\n\t\x80-\xff]")

# Each line: what git says (C locale), whether it is for good, what to do. The first that matches counts.
_FAILURES: tuple[tuple[str, type[IngestError], str], ...] = (
    (r"No space left on device|Disk quota exceeded", RepositoryRefusedError,
     "make room where INGEST_HOME lies, or set INGEST_HOME to a larger disk"),
    (r"Read-only file system", RepositoryRefusedError, "INGEST_HOME must be writable"),
    (r"dubious ownership", RepositoryRefusedError,
     "the repository belongs to another user; if you trust it: git config --global --add safe.directory PATH"),
    (r"could not read (Username|Password)|terminal prompts disabled|Authentication failed|Permission denied \("
     r"|Host key verification failed|HTTP Basic: Access denied|error: 40[13]", RepositoryRefusedError,
     "git needs credentials that it does not have, or the ones it has were refused; "
     "check them with: git ls-remote REPO"),
    (r"[Pp]ermission denied", RepositoryRefusedError, "the user who runs this must be allowed to read it"),
    (r"[Rr]epository .*not found|does not exist|access denied or repository not exported|not found: did you run",
     RepositoryRefusedError, "check the address: no repository was found there"),
    (r"does not appear to be a git repository|not a git repository|not valid: is this a git repository|"
     r"invalid gitfile format|is not a bundle", RepositoryRefusedError,
     "check the address: what is there is not a git repository"),
    (r"[Cc]ould not resolve host|Name or service not known|Temporary failure in name resolution|unable to look up",
     RepositoryUnavailableError, "check the host's name and this machine's network"),
    (r"SSL|certificate|TLS", RepositoryRefusedError,
     "the host's certificate is not trusted here; see git's http.sslCAInfo"),
    (r"transport .* not allowed|Unable to find remote helper", RepositoryRefusedError,
     "use https, ssh, git or a path"),
)  # fmt: skip


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


def remote_environment(remote: Remote) -> dict[str, str]:
    """The environment for git commands that talk to a remote: the user's own, without any way to ask a question.

    Credentials of the URL travel in here, where only this user and root can read them, to a credential helper that is
    bound to the URL's own host.
    """
    environment = os.environ | {
        "LC_ALL": "C",
        "TERM": "dumb",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
        "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
        "GIT_SSH_COMMAND": f"{_ssh_command()} -o BatchMode=yes -o ConnectTimeout={STALLED_AFTER}"
        f" -o ServerAliveInterval={STALLED_AFTER // 4} -o ServerAliveCountMax=4",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1",
        "GIT_HTTP_LOW_SPEED_TIME": str(STALLED_AFTER),
    }
    if remote.username is None and remote.password is None:
        return environment
    count = int(environment.get("GIT_CONFIG_COUNT") or 0)
    host = "/".join(remote.origin.split("/")[:3])
    return environment | {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"credential.{host}.helper",
        f"GIT_CONFIG_VALUE_{count}": '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n"'
        ' "$INGEST_GIT_USERNAME" "$INGEST_GIT_PASSWORD"; }; f',
        "INGEST_GIT_USERNAME": remote.username or "",
        "INGEST_GIT_PASSWORD": remote.password or "",
    }


def _ssh_command() -> str:
    if command := os.environ.get("GIT_SSH_COMMAND"):
        return command
    configured = subprocess.run(
        ["git", "config", "core.sshCommand"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return configured or shlex.quote(os.environ.get("GIT_SSH", "ssh"))


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
    """
    with tempfile.TemporaryFile() as complaints, _start(mirror, arguments, complaints) as git:
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
            said = _last_words(_printable_lines(complaints.read()))
            raise GitFailedError(status, f"git ended by signal {-status}" if status < 0 else said)


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
    except OSError as error:
        raise RepositoryRefusedError(
            f"git cannot be started in {mirror} ({error.strerror})", "check that git and that folder are there"
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


def talk(arguments: Sequence[str], *, remote: Remote, show: bool) -> None:
    """Run a git command that talks to a remote, showing git's own progress on standard error if `show`.

    :raises RepositoryRefusedError: the remote, or the disk, will not do it
    :raises RepositoryUnavailableError: the remote does not answer
    """
    process = subprocess.Popen(
        ["git", *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=remote_environment(remote)
    )
    assert process.stderr is not None  # noqa: S101
    with process:
        try:
            complaint = _tee(process.stderr, sys.stderr.buffer.write if show else None)
            if process.wait() != 0:
                raise _failure(remote, complaint)
        except BaseException:
            process.terminate()
            raise


def _tee(stream: IO[bytes], write: Callable[[bytes], object] | None) -> bytes:
    """Read a stream to its end, show it without what a remote could do to a terminal, and give its tail."""
    tail = b""
    while piece := stream.read1(4096):  # type: ignore[attr-defined]
        tail = (tail + piece)[-_TAIL:]
        if write is not None:
            write(_UNPRINTABLE.sub(b"?", piece))
            sys.stderr.flush()
    return tail


def _failure(remote: Remote, complaint: bytes) -> IngestError:
    said = [line for line in _printable_lines(complaint, remote) if not line.startswith("Cloning into")]
    for pattern, error, advice in _FAILURES:
        for line in said:
            if re.search(pattern, line):
                return error(f"The repository {remote.origin} cannot be read ({_bare(line)})", advice)
    return RepositoryUnavailableError(
        f"The repository {remote.origin} cannot be read ({_last_words(said)})",
        "if it does not, look at the same with: git ls-remote REPO",
    )


def _printable_lines(complaint: bytes, remote: Remote | None = None) -> list[str]:
    """What git said, without what a remote could do to a terminal, and without the credentials."""
    text = _UNPRINTABLE.sub(b"?", complaint).decode("utf-8", "replace")
    for secret in () if remote is None else (remote.password, remote.username):
        text = text.replace(secret, "***") if secret else text
    return [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]


def _last_words(said: list[str]) -> str:
    """The last line that says something."""
    telling = [line for line in said if line.startswith(("fatal: ", "error: "))]
    return _bare((telling or said or ["it said nothing"])[-1])


def _bare(line: str) -> str:
    return line.removeprefix("fatal: ").removeprefix("error: ").rstrip(".")[:300]
