"""Running a command and measuring it with all its children, and the server's part of it."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_EVERY = 0.5
"""Seconds between two looks at the memory of a command's processes."""

# Git's own processor time, written down by a shell around each git: `times` prints its own and then its children's.
_SHIM = """#!/bin/sh
{git} "$@"
code=$?
times >> {log}
exit $code
"""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    :ivar wall: seconds from start to end
    :ivar git: seconds of processor time of the git processes that were found by PATH; Perceval's own are not
    :ivar python: seconds of processor time of everything else that the command started, itself included
    :ivar server: seconds of processor time of Elasticsearch in that time
    :ivar memory: megabytes that its processes, git apart, held together at their peak (resident, shared pages counted
        once per process)
    """

    wall: float
    git: float
    python: float
    server: float
    memory: float

    @property
    def processor(self) -> float:
        """Seconds of processor time of all together."""
        return self.git + self.python + self.server


def run(command: Sequence[str], server: psutil.Process, environment: dict[str, str]) -> Cost:
    """Run a command to its end and measure it.

    :raises subprocess.CalledProcessError: it failed
    """
    with _git_that_counts() as (folder, git_seconds):
        before = _seconds(server)
        started = time.monotonic()
        variables = environment | {"PATH": f"{folder}{os.pathsep}{environment['PATH']}"}
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, env=variables, stdout=output, stderr=subprocess.STDOUT)
            peak = _Peak(process.pid)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.monotonic() - started
            memory = peak.stop()
            if process.returncode != 0:
                output.seek(0)
                sys.stderr.buffer.write(output.read()[-4000:])
                raise subprocess.CalledProcessError(process.returncode, command)
        git = git_seconds()
        everything = usage.ru_utime + usage.ru_stime
        return Cost(wall, git, max(0.0, everything - git), _seconds(server) - before, memory)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _git_that_counts() -> Iterator[tuple[str, Callable[[], float]]]:
    """Give a folder for the front of PATH, and a function that tells the seconds that git took so far."""
    real = shutil.which("git")
    if real is None:
        raise FileNotFoundError("git")
    with tempfile.TemporaryDirectory(prefix="ingest-bench-") as folder:
        log = Path(folder, "times")
        log.touch()
        shim = Path(folder, "git")
        shim.write_text(_SHIM.format(git=shlex.quote(real), log=shlex.quote(str(log))))
        shim.chmod(0o755)
        yield folder, lambda: sum(map(_shell_seconds, " ".join(log.read_text().splitlines()[1::2]).split()))


def _shell_seconds(text: str) -> float:
    """Seconds of what ``times`` prints: ``1m2.34s``."""
    minutes, _, seconds = text.rstrip("s").partition("m")
    return int(minutes) * 60 + float(seconds)


class _Peak:
    """Watches the memory of a process and its children, git apart, until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY):
            with suppress(psutil.Error):
                process = psutil.Process(self._pid)
                family = [process, *process.children(recursive=True)]
                self._peak = max(self._peak, sum(map(_resident, family)))

    def stop(self) -> float:
        """Megabytes at the peak."""
        self._ended.set()
        self._thread.join()
        return self._peak / 1e6


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        if process.name() not in ("git", "sh"):
            return int(process.memory_info().rss)
    return 0
