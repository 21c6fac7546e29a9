"""What is installed is pinned, by its content."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(ROOT.glob("requirements*.txt"))


def requirements(file: Path) -> list[str]:
    """Each requirement, with its hashes, on a line."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE)
    return text.replace("\\\n", "").splitlines()


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_each_requirement_has_one_version_and_hashes(file: Path) -> None:
    found = requirements(file)
    assert found
    for line in found:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+-]+( +--hash=sha256:[0-9a-f]{64})+", line.strip()), line


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_no_file_names_where_packages_come_from(file: Path) -> None:
    assert not re.search("://|index-url|find-links|trusted-host", file.read_text())


def test_what_is_declared_is_pinned() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for names, file in (
        (declared["dependencies"], "requirements.txt"),
        (declared["optional-dependencies"]["dev"], "requirements-dev.txt"),
    ):
        pinned = {line.partition("==")[0] for line in requirements(ROOT / file)}
        assert {re.split("[<>=,]", name)[0].replace(".", "-") for name in names} <= pinned


def test_both_clients_stand_on_the_same_packages() -> None:
    """So that what differs between the pairs is the client alone."""
    one, other = (
        {line.partition("==")[0]: line.split()[0] for line in requirements(ROOT / name)}
        for name in ("requirements.txt", "requirements-9.txt")
    )
    differing = {name for name, pin in other.items() if name in one and one[name] != pin}
    assert differing == {"elasticsearch", "elastic-transport"}
