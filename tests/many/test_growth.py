"""What a repository costs must not grow with their number: counted in requests and processes, not in time."""

import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import elasticsearch
import pytest

from tests.conftest import Run
from tests.repository import linear, recording_git

pytestmark = pytest.mark.slow

FEW, MANY = 50, 1000


class Cost(NamedTuple):
    """What a run took."""

    requests: int
    gits: Counter[str]


def requests(client: elasticsearch.Elasticsearch) -> int:
    """How many the server has answered since it was started."""
    (node,) = client.nodes.stats(metric="http")["nodes"].values()
    return sum(route["requests"]["count"] for route in node["http"]["routes"].values())


class World:
    """Small repositories, which are made by copying, and a list of some of them."""

    def __init__(self, folder: Path, client: elasticsearch.Elasticsearch, ingest: Run) -> None:
        self.client = client
        self.ingest = ingest
        self.path, self.recorded = recording_git(folder)
        self.list = folder / "list"
        self.places = [folder / "repositories" / f"{number}.git" for number in range(MANY)]
        made = [folder / f"{size}.git" for size in (1, 5, 30)]
        for place in made:
            linear(folder / place.stem, int(place.stem)).git("clone", "--quiet", "--bare", ".", str(place))
        for number, place in enumerate(self.places):
            shutil.copytree(made[number % len(made)], place)

    def commits(self, count: int) -> int:
        return sum((1, 5, 30)[number % 3] for number in range(count))

    def load(self, count: int, **variables: str) -> Cost:
        self.list.write_text("".join(f"{place}\n" for place in self.places[:count]))
        self.recorded.write_text("")
        before = requests(self.client)
        command = ("load", "--quiet", "--repos", self.list, "--jobs", "2")
        done = self.ingest(*command, timeout=3600, PATH=self.path, **variables)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        commands = [line.split() for line in self.recorded.read_text().splitlines()]
        return Cost(
            requests(self.client) - before,
            Counter("ls-remote" if "ls-remote" in words else "another" for words in commands),
        )


def test_a_thousand_repositories_cost_each_what_fifty_do_and_next_to_nothing_where_there_is_nothing_new(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    world = World(tmp_path, client, ingest)
    few = world.load(FEW, INGEST_INDEX=f"{alias}-few", INGEST_HOME=str(tmp_path / "few"))
    many = world.load(MANY)
    client.indices.refresh(index=alias)
    assert client.count(index=alias)["count"] == world.commits(MANY)
    assert many.requests / MANY <= few.requests / FEW
    assert many.gits.total() / MANY <= few.gits.total() / FEW
    again = world.load(MANY)
    assert again.gits == {"ls-remote": MANY, "another": 4}
    assert again.requests < 50
