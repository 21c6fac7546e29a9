"""The repository that the documentation's examples use, made by the script that readers run."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = "/tmp/example"  # noqa: S108 - what the documentation calls it


def make(path: Path) -> None:
    """Make it there."""
    subprocess.run(["sh", str(ROOT / "docs" / "example.sh"), str(path)], check=True)
