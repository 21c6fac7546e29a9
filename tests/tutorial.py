"""Typing what docs/tutorial.md says, and writing the page as it is then."""

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.example import PLACE, ROOT
from tests.terminal import on_a_terminal

PAGE = ROOT / "docs" / "tutorial.md"
URL = "http://127.0.0.1:9200"
COLUMNS = 110
_BLOCK = re.compile(r"```(console|python)\n(.*?)```(?:\n\n```text\n.*?```)?", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def typed(page: str, environment: Mapping[str, str], place: Path) -> str:
    """The page with what its commands print now.

    :param environment: for them, with ES_URL
    :param place: where the example is, instead of where the page says
    """

    def run(block: re.Match[str]) -> str:
        language, text = block.groups()
        if language == "python":
            printed = _printed([sys.executable, "-c", text], environment)
            return f"```python\n{text}```\n\n```text\n{_as_on_the_page(printed, environment, place)}```"
        parts = "".join(_answered(command, environment, place) for command in _commands(text))
        return f"```console\n{parts}```"

    return _BLOCK.sub(run, page)


def _commands(text: str) -> list[str]:
    """Those in a block, each with its prompts, without what they printed."""
    return re.findall(r"^\$ .*\n(?:> .*\n)*", text, flags=re.MULTILINE)


def _answered(typed: str, environment: Mapping[str, str], place: Path) -> str:
    command = re.sub(r"^[$>] ", "", typed, flags=re.MULTILINE)
    command = command.replace(PLACE, str(place)).replace(URL, environment["ES_URL"])
    if re.match(r"(make|\.venv/bin/ingest) (search|show) ", command):
        there = f"cd {shlex.quote(str(ROOT))} && {command}"
        code, printed = on_a_terminal(["bash", "-c", there], environment, columns=COLUMNS)
        assert code == 0, printed
        printed = "".join(f"{line.rstrip()}\n" for line in _COLOUR.sub("", printed).splitlines())
    else:
        printed = _printed(["bash", "-c", command], environment)
    return typed + _as_on_the_page(printed, environment, place)


def _printed(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout if done.stdout.endswith("\n") or not done.stdout else f"{done.stdout}\n"


def _as_on_the_page(printed: str, environment: Mapping[str, str], place: Path) -> str:
    return printed.replace(str(place), PLACE).replace(environment["ES_URL"], URL)


def steady(page: str) -> str:
    """A page without what differs from run to run: seconds, when the index was made, and which year is last year."""
    page = re.sub(r"--since \d{4} --until \d{4} --no-merges$", "--since Y --until Y", page, flags=re.MULTILINE)
    return re.sub(r"commits-\d{20}", "commits-T", re.sub(r"in [\d.]+ s;", "in N s;", page))
