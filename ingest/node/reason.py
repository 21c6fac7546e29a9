"""Why a server did not start, in its own words."""

import re
from pathlib import Path

MOST_LINES = 8

_NOISE = re.compile(
    r"\s+at |\s+\.\.\. \d+ more|\s*#?\s*$|\[[^]]*\]\[(INFO|WARN) *\]|\s+Suppressed: |output:$|error:$"
    r"|ERROR: Elasticsearch (did not exit|died while)"
)
"""Stack frames, what is no failure, and the launcher's remarks that there was one."""
_LEAD = re.compile(r"^\[[^]]*\]\[\w+ *\]\[[^]]*\] \[[^]]*\] (fatal exception while booting Elasticsearch )?")
_PACKAGE = re.compile(r"\b(?:[a-z]\w*\.)+(?=[A-Z]\w*(?:Exception|Error)\b)")


def reason(output: Path) -> str:
    """Return the lines that tell why, of what a launcher and its server printed; indented, each on a line.

    Such as ``  IllegalStateException: failed to obtain node locks, tried [/home/me/node/data]; maybe …``
    """
    with output.open(errors="replace") as lines:
        telling = [line.rstrip() for line in lines if not _NOISE.match(line)]
    if not telling:
        return "  (it printed no reason)"
    return "\n".join("  " + _PACKAGE.sub("", _LEAD.sub("", line))[:300] for line in telling[:MOST_LINES])
