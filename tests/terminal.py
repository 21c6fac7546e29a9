"""Running a command on a terminal."""

import os
import pty
import subprocess
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress


def on_a_terminal(command: Sequence[str], environment: Mapping[str, str], *, columns: int = 160) -> tuple[int, str]:
    """Run a command whose standard output and error are a terminal, and give its exit code and what that showed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    # A size that this shell, or pytest's own processes, were told is another terminal's.
    here = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen(command, env=here, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        # The last one to write is gone.
        with suppress(OSError):
            while piece := os.read(ours, 4096):
                shown += piece
    os.close(ours)
    return process.returncode, shown.decode("utf-8", "replace")
