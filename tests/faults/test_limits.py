"""What Elasticsearch has no room for: too large, too much at once, a full disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elasticsearch
import orjson
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index import connection
from ingest.index.conversion import item
from ingest.node import NodeInfo
from tests.conftest import Run
from tests.documents import documents, hashes, perceval_items, without_time
from tests.faults.test_server import assert_loaded, loading, still_waits
from tests.node.conftest import small_node, wait_for
from tests.repository import Repository, linear

WATERMARKS = "cluster.routing.allocation.disk.watermark"


@pytest.fixture(scope="module")
def cramped(open_folder: Path) -> Iterator[NodeInfo]:
    """A server that takes requests of two megabytes at most, and works on one megabyte at a time."""
    config = {
        "http.max_content_length": "2mb",
        "indexing_pressure.memory.limit": "1mb",
        "cluster.info.update.interval": "10s",
    }
    node = small_node(open_folder / "narrow", config=config)
    yield node.start()
    node.stop()


@pytest.fixture
def narrow(cramped: NodeInfo, environment: dict[str, str]) -> Iterator[elasticsearch.Elasticsearch]:
    """A client of the cramped server, which the command uses too."""
    environment["ES_URL"] = cramped.url
    with connection.connect((cramped.url,)) as client:
        yield client
        client.indices.delete(index=list(client.indices.get(index="*", expand_wildcards="all")))


def with_many_files(path: Path, count: int) -> Repository:
    """A repository whose second of three commits touches so many files."""
    repository = Repository(path)
    repository.commit("First", {"a.txt": "1\n"})
    names = [
        f"a-folder-with-a-long-name/{number % 100}/a-file-with-a-long-name-{number}.txt" for number in range(count)
    ]
    stream = b"blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\nMany\n" + (
        b"from refs/heads/main^0\n" + b"".join(b"M 644 :1 %s\n" % name.encode() for name in names)
    )
    repository.git("fast-import", "--quiet", stdin=stream)
    repository.git("reset", "--quiet", "--hard")
    repository.commit("Last", {"a.txt": "2\n"})
    return repository


@pytest.mark.slow
def test_a_document_that_is_too_large_loses_its_file_list_and_not_its_place(
    tmp_path: Path, narrow: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = with_many_files(tmp_path / "repository", 20_000)
    done = ingest("load", repository.path)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("3 commits indexed, 1 of them incomplete, 0 rejected")
    found = {document["hash"]: document for document in documents(narrow, alias).values()}
    many = repository.git("rev-parse", "HEAD^")
    reason = "file list cut: the document was too large for Elasticsearch"
    cut = found.pop(many)
    assert (cut["incomplete"], cut["files"], cut["files_count"], cut["lines_added"]) == (reason, [], 20_000, 20_000)
    origin = str(repository.path)
    expected = perceval_items(mirror.folder(home, Remote(origin)), origin).values()
    wanted = {each["data"]["commit"]: without_time(each) for each in expected}
    whole = wanted.pop(many)
    assert without_time(item(cut)) == whole | {"data": whole["data"] | {"files": []}}
    assert {commit: without_time(item(document)) for commit, document in found.items()} == wanted
    (file,) = (home / "rejects").iterdir()
    (line,) = map(orjson.loads, file.read_bytes().splitlines())
    assert line == {"index": alias, "origin": origin, "hash": many, "reason": reason}
    # It is tried again, since there may be more room by then, and listed once.
    again = ingest("load", repository.path)
    assert again.returncode == 3
    assert again.stdout.startswith("1 commits indexed, 1 of them incomplete, 0 rejected")
    assert list((home / "rejects").iterdir()) == [file]


@pytest.mark.slow
def test_a_document_that_is_too_large_without_its_files_is_rejected_and_can_be_replayed_where_there_is_room(
    tmp_path: Path,
    narrow: elasticsearch.Elasticsearch,
    client: elasticsearch.Elasticsearch,
    server: NodeInfo,
    alias: str,
    home: Path,
    ingest: Run,
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("First", {"a.txt": "1\n"})
    tree, first = repository.git("rev-parse", "HEAD^{tree}"), repository.head()
    message = b"Long\n\n" + b"word " * 600_000 + b"end"
    large = repository.raw_commit(
        f"tree {tree}\nparent {first}\nauthor A <a@b> 9 +0000\ncommitter A <a@b> 9 +0000\n\n".encode() + message
    )
    done = ingest("load", repository.path)
    assert done.returncode == 3
    assert done.stdout.startswith("1 commits indexed, 1 rejected")
    assert hashes(narrow, alias) == [first]
    (file,) = (home / "rejects").iterdir()
    (line,) = map(orjson.loads, file.read_bytes().splitlines())
    assert (line["status"], line["document"]["hash"]) == (413, large)
    assert "http.max_content_length" in line["reason"]
    assert ingest("replay", file, ES_URL=server.url).returncode == 0
    (document,) = documents(client, alias).values()
    assert (document["hash"], document["message"]) == (large, message.decode())


def flood(client: elasticsearch.Elasticsearch, free: str | None) -> None:
    """Say how much of the disk must be free: more than there is, or what was said before."""
    client.cluster.put_settings(persistent={f"{WATERMARKS}.{name}": free for name in ("low", "high", "flood_stage")})


def is_blocked(client: elasticsearch.Elasticsearch, alias: str) -> Any:
    (index,) = client.indices.get_settings(index=alias, flat_settings=True).values()
    return index["settings"].get("index.blocks.read_only_allow_delete")


@pytest.mark.slow
def test_a_disk_beyond_the_flood_stage_is_waited_for(
    tmp_path: Path, narrow: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    with loading(repository, environment, environment["ES_URL"], "3m", chunk_size=1) as process:
        flood(narrow, "1000tb")
        wait_for(lambda: is_blocked(narrow, alias))
        still_waits(process, 5)
        flood(narrow, None)
        assert_loaded(process, repository, environment, environment["ES_URL"])


@pytest.mark.slow
def test_a_disk_that_stays_beyond_the_flood_stage_ends_the_run_with_exit_5_that_names_it(
    tmp_path: Path, narrow: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str], ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3000)
    with loading(repository, environment, environment["ES_URL"], "3s", chunk_size=1) as process:
        flood(narrow, "1000tb")
        wait_for(lambda: is_blocked(narrow, alias))
        _, complaint = process.communicate(timeout=60)
    assert process.returncode == 5
    last = complaint.splitlines()[-1]
    assert "disk usage exceeded flood-stage watermark" in last
    assert "Running again may help" in last
    flood(narrow, None)
    wait_for(lambda: not is_blocked(narrow, alias))
    assert ingest("load", repository.path).returncode == 0
    assert set(hashes(narrow, alias)) == repository.hashes()
