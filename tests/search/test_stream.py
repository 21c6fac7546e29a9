"""All hits, each once, whatever happens to the server's view of them."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import elasticsearch
import pytest
from elasticsearch.dsl import Q

from ingest.index.view import LookLostError, View
from ingest.search.commits import BY_HASH, MOST_RELEVANT_FIRST, NEWEST_FIRST, Commits

COUNT = 2500


@pytest.fixture
def commits(client: elasticsearch.Elasticsearch, alias: str) -> Commits:
    """Documents of which some have no date."""
    client.indices.create(index=alias, mappings={"properties": {
        "hash": {"type": "keyword"}, "origin": {"type": "keyword"}, "commit_date": {"type": "date"},
    }})  # fmt: skip
    operations: list[dict[str, Any]] = []
    for number in range(COUNT):
        document = {"hash": f"{number % 1250:040}", "origin": f"r{number // 1250}"}
        operations += [{"index": {}}, document | ({"commit_date": 1000 * (number // 7)} if number % 3 else {})]
    client.bulk(index=alias, operations=operations, refresh=True)
    return Commits(client, alias, retry_for=20)


def lose_the_view(commits: Commits) -> None:
    """A shard that is opened again knows nothing of what was looked at, as when its node is started again."""
    commits.client.indices.close(index=commits.index)
    commits.client.indices.open(index=commits.index, wait_for_active_shards="1")


def key(document: dict[str, Any]) -> tuple[str, str]:
    return document["hash"], document["origin"]


@pytest.mark.parametrize("sort", [BY_HASH, NEWEST_FIRST])
def test_each_document_is_given_once_and_in_order_though_views_are_lost(
    commits: Commits, sort: tuple[Any, ...]
) -> None:
    expected = [key(each) for each in commits.stream(Q("match_all"), sort)]
    assert len(set(expected)) == COUNT
    stream = commits.stream(Q("match_all"), sort)
    found = []
    for size in (1000, 1000, 1):
        found += [key(each) for each in islice(stream, size)]
        lose_the_view(commits)
    assert found + [key(each) for each in stream] == expected


def test_a_view_that_is_lost_in_the_order_of_relevance_is_an_error(commits: Commits) -> None:
    stream = commits.stream(Q("match_all"), MOST_RELEVANT_FIRST)
    assert len(list(islice(stream, 1000))) == 1000
    lose_the_view(commits)
    with pytest.raises(LookLostError, match="losing its view"):
        next(stream)


def test_a_view_that_is_lost_again_and_again_without_a_hit_is_an_error(
    commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def lost(view: View, after: Sequence[Any] | None = None) -> Iterator[dict[str, Any]]:
        looks.append(after)
        raise LookLostError("lost", "wait")
        yield {}

    monkeypatch.setattr(View, "hits", lost)
    with pytest.raises(LookLostError):
        next(commits.stream(Q("match_all"), BY_HASH))
    assert looks == [None] * 5
