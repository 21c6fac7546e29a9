"""docs/tutorial.md tells the truth: all that it says to type is typed, and what that prints compared."""

import os
import re
from pathlib import Path

import elasticsearch
import pytest
from crontab import CronTab

from ingest.node import NodeInfo
from tests.tutorial import PAGE, steady, typed


@pytest.fixture
def environment(server: NodeInfo, home: Path) -> dict[str, str]:
    """What a newcomer's shell holds, but for the server that is there already."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ES_", "INGEST_", "GIT_", "MAKE"))
    }
    return kept | {"ES_URL": server.url, "INGEST_HOME": str(home), "TERM": "xterm-256color"}


def test_what_is_typed_prints_what_the_page_says(
    environment: dict[str, str], client: elasticsearch.Elasticsearch, tmp_path: Path
) -> None:
    assert not client.indices.exists(index="commits")
    page = PAGE.read_text()
    assert steady(typed(page, environment, tmp_path / "example")) == steady(page)
    assert not client.indices.exists(index="commits")


def test_the_line_for_cron_is_one() -> None:
    (block,) = re.findall(r"```crontab\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (item,) = CronTab(tab=block)
    assert item.is_valid()
    assert ".venv/bin/ingest load --quiet --wait " in item.command
