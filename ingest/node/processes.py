"""Which processes are a node's, told by what stands on their command lines.

A start runs the distribution's launcher (a shell script that becomes a small Java program), which runs the
server and ends when that is up. Command lines cannot go stale as a file of process ids can.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

_LOOKS: Final = (0, 0.05, 0.1)
"""Seconds before each look: a process that is just becoming another program has no arguments for a moment."""
SERVER_CLASS = "org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch"


def launcher_mark(logs: Path) -> str:
    """The launcher's argument that tells whose it is."""
    return f"-Epath.logs={logs}"


def server_mark(logs: Path) -> str:
    """The server's Java option that tells whose it is."""
    return f"-Dingest.node.logs={logs}"


def find(logs: Path) -> list[psutil.Process]:
    """Return the launcher and the server, as far as they live, of the node that writes to ``logs``."""
    marks = {launcher_mark(logs), server_mark(logs)}
    for pause in _LOOKS:
        time.sleep(pause)
        found = [process for process in psutil.process_iter() if marks & _arguments(process) and alive(process)]
        if found:
            return found
    return []


def find_server(logs: Path) -> psutil.Process | None:
    """Return the server, if it lives, of the node that writes to ``logs``."""
    # The launcher also asks Java, with the server's options, what memory it would take.
    marks = {server_mark(logs), SERVER_CLASS}
    return next((process for process in find(logs) if marks <= _arguments(process)), None)


def version(server: psutil.Process) -> str:
    """Return which Elasticsearch a server is, by the name of the folder that it runs from."""
    mark = "-Des.path.home="
    return next((a.rpartition("-")[2] for a in _arguments(server) if a.startswith(mark)), "unknown")


def _arguments(process: psutil.Process) -> set[str]:
    try:
        return set(process.cmdline())
    except psutil.Error:
        return set()  # it has ended, or is closed to us: then it is not ours


def alive(process: psutil.Process) -> bool:
    """Tell whether it runs; one that has ended and that its parent has not collected yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def terminate(processes: Sequence[psutil.Process], grace: float) -> None:
    """Ask them to end, and kill those that have not after ``grace`` seconds.

    :raises psutil.AccessDenied: one belongs to another user
    """
    _each(processes, psutil.Process.terminate)
    _each(processes, psutil.Process.resume)  # a stopped process hears nothing until it is resumed
    if not _gone(processes, grace):
        _each(processes, psutil.Process.kill)
        _gone(processes, grace)


def _each(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            act(process)


def _gone(processes: Iterable[psutil.Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
