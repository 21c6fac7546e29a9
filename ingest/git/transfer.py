"""Running git commands that talk to a remote: never prompting, given up where nothing happens, gone when we are."""

import ctypes
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO, Final, cast

import psutil

from ingest.errors import IngestError, RepositoryRefusedError, RepositoryUnavailableError
from ingest.git.command import bare, last_words, said, scratch
from ingest.git.remote import SCHEMES, Remote
from ingest.settings import environment_for_others
from ingest.text import printable, without

_TAIL: Final = 8192
_GLANCE: Final = 1.0
"""Seconds between two looks at a git that says nothing."""
_AT_WORK: Final = 0.02
"""A git that says nothing, but uses so much of a processor, is busy, and waits for nobody."""
_GRACE: Final = 5
"""Seconds that git has to clean up after itself."""
_PR_SET_PDEATHSIG: Final = 1

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


def remote_environment(remote: Remote) -> dict[str, str]:
    """The environment for git commands that talk to a remote: the user's own, without any way to ask a question,
    and without what opens Elasticsearch.

    Credentials of the URL travel in here, where only this user and root can read them, to a credential helper that is
    bound to the URL's own host.
    """
    environment = environment_for_others() | {
        "LC_ALL": "C",
        "TERM": "dumb",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
        "GIT_ALLOW_PROTOCOL": ":".join(SCHEMES),
        "GIT_SSH_COMMAND": f"{_ssh_command()} -o BatchMode=yes",
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
    return _configured_ssh_command() or shlex.quote(os.environ.get("GIT_SSH", "ssh"))


@cache
def _configured_ssh_command() -> str:
    return subprocess.run(
        ["git", "config", "core.sshCommand"], env=environment_for_others(), capture_output=True, text=True, check=False
    ).stdout.strip()


def talk(arguments: Sequence[str], *, remote: Remote, show: bool, timeout: float) -> str:
    """Run a git command that talks to a remote, showing git's own progress on standard error if `show`.

    :param arguments: ask for git's progress, since it tells whether anything happens
    :param timeout: seconds after which it is given up, if all the while git neither said nor did anything
    :return: what it wrote on its standard output
    :raises RepositoryRefusedError: the remote, or the disk, will not do it
    :raises RepositoryUnavailableError: the remote does not answer
    """
    with scratch() as output, _running(arguments, remote, output) as process:
        complaint = _followed(process, remote, _Screen(remote) if show else None, timeout)
        if process.wait() != 0:
            raise _failure(remote, complaint)
        output.seek(0)
        return output.read().decode("utf-8", "replace")


@contextmanager
def _running(arguments: Sequence[str], remote: Remote, output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Git, which is ended with the block, and by our own death."""
    with subprocess.Popen(
        ["git", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        env=remote_environment(remote),
        preexec_fn=_ended_with_us(),  # noqa: PLW1509 - it makes two system calls, and takes no lock
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _ended_with_us() -> Callable[[], None] | None:
    """What a child does first, so that it ends when we are killed: else it would write beside the next run."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    with suppress(psutil.NoSuchProcess):
        everybody = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for each in everybody:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        _, left = psutil.wait_procs(everybody, timeout=_GRACE)
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _followed(process: subprocess.Popen[bytes], remote: Remote, screen: "_Screen | None", timeout: float) -> bytes:
    """The end of what git says on its standard error."""
    stream, tail = cast(IO[bytes], process.stderr), b""
    watch = _Watch(process.pid, remote, timeout)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(min(_GLANCE, timeout)):
                watch.look()
                continue
            piece = os.read(stream.fileno(), 4096)
            if not piece:
                return tail
            watch.start_anew()
            tail = (tail + piece)[-_TAIL:]
            if screen is not None:
                screen.show(piece)


class _Watch:
    """Tells a git that waits for a silent remote from one that is busy on its own."""

    def __init__(self, pid: int, remote: Remote, timeout: float) -> None:
        self._pid = pid
        self._remote = remote
        self._timeout = timeout
        self._since = time.monotonic()
        # So much has a process used that was just started; to ask for it takes longer than many a git.
        self._used = 0.0

    def start_anew(self) -> None:
        """It has said something."""
        self._since = time.monotonic()
        self._used = self._processor_time()

    def look(self) -> None:
        """See whether anything happens.

        :raises RepositoryUnavailableError: nothing did, for too long
        """
        silent = time.monotonic() - self._since
        if self._processor_time() - self._used > max(0.05, silent * _AT_WORK):
            self.start_anew()
        elif silent >= self._timeout:
            raise RepositoryUnavailableError(
                f"The host of {self._remote.origin} has said nothing for {self._timeout:g} s",
                "see whether it answers others; --remote-timeout gives it longer",
            )

    def _processor_time(self) -> float:
        """Seconds that git and its children have used."""
        total = 0.0
        with suppress(psutil.NoSuchProcess):
            git = psutil.Process(self._pid)
            for process in (git, *git.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += sum(process.cpu_times()[:4])
        return total


class _Screen:
    """Shows git's progress on standard error, without what a remote could do to a terminal."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._left = b""

    def show(self, piece: bytes) -> None:
        """Show what is complete of it; its last words come later, in ours."""
        *parts, self._left = re.split(rb"(?<=[\r\n])", self._left + piece)
        for part in parts:
            if not part.startswith((b"fatal: ", b"error: ")):
                text = _without_secrets(part[:-1].decode("utf-8", "replace"), self._remote)
                sys.stderr.write(printable(text) + part[-1:].decode())
        sys.stderr.flush()


def _failure(remote: Remote, complaint: bytes) -> IngestError:
    lines = [_without_secrets(line, remote) for line in said(complaint) if not line.startswith("Cloning into")]
    for pattern, error, advice in _FAILURES:
        for line in lines:
            if re.search(pattern, line):
                return error(f"The repository {remote.origin} cannot be read ({bare(line)})", advice)
    return RepositoryUnavailableError(
        f"The repository {remote.origin} cannot be read ({last_words(lines)})",
        "if it does not, look at the same with: git ls-remote REPO",
    )


def _without_secrets(text: str, remote: Remote) -> str:
    """What a remote, or git, says, in which the credentials may be repeated."""
    return without(text, remote.secrets)
