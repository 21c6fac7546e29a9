"""Lists of repositories, good ones and bad ones."""

import json
import logging
from pathlib import Path

import pytest

from ingest.errors import UsageError
from ingest.many.listing import read


def rows(path: Path) -> list[tuple[str, str | None]]:
    return [(each.remote.origin, each.project) for each in read(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "list"


def test_a_plain_list_has_a_repository_a_line_with_an_optional_label_and_comments(path: Path) -> None:
    path.write_text(
        "\ufeff# all of ours\n\nhttps://example.org/a.git\n  https://example.org/b#c   The label # why\r\n"
        "git@example.org:d.git\tlabel\nhttps://example.org/a.git # again\n"
    )
    assert rows(path) == [
        ("https://example.org/a.git", None),
        ("https://example.org/b#c", "The label"),
        ("git@example.org:d.git", "label"),
    ]


def test_a_projects_json_gives_its_git_repositories_with_their_projects(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    projects = {
        "One": {
            "git": ["https://example.org/a --labels=[x] --filter-no-collection=true", "https://example.org/b"],
            "meta": {"title": "First"},
            "github": ["https://github.com/a/b"],
        },
        "Zwei ü": {"git": ["https://example.org/c"]},
        "None": {"meta": {}},
    }
    path.write_text(json.dumps(projects, indent=1))
    assert rows(path) == [
        ("https://example.org/a", "One"),
        ("https://example.org/b", "One"),
        ("https://example.org/c", "Zwei ü"),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}:4: passed over --labels=[x] --filter-no-collection=true",
        f"{path}: passed over what is not git: github",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "{path} names no repository"),
        ("# https://example.org/a\n", "{path} names no repository"),
        ("https://a/b\nftp://a/b\n", "{path}:2: The transport 'ftp'"),
        ("https://a/b\n--upload-pack=x\n", "{path}:2: '--upload-pack=x' is not a repository"),
        ("https://a/b one\n\nhttps://a/b two\n", "project 'one' in {path}:1 and of 'two' in {path}:3"),
        ("https://a/b\nhttps://a/b two\n", "project none in {path}:1 and of 'two' in {path}:2"),
        (b"https://a/b\nhttps://a/\xff\n", "{path}:2 is not UTF-8"),
        ('{\n "a": {,\n', "{path}:2 is not JSON"),
        ('{"a": {}}', "{path} names no repository"),
        ('{\n"a": []}', "{path}:2: the project 'a' is no object"),
        ('{\n"a": {"git": "https://a/b"}}', "{path}:2: 'git' of the project 'a' is no list of URLs"),
        ('{"a":\n{"git": ["https://a/b"]},\n"b":\n{"git": ["https://a/b"]}}',
         "project 'a' in {path}:2 and of 'b' in {path}:4"),
        ('{"a": {"git": ["https://a/b"]}, "a": {}}', "{path}: an object has 2 members named 'a'"),
        ('{"a": {"git": [\n"ext::sh"]}}', "{path}:2: The transport 'ext'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_told_with_its_line(content: str | bytes, message: str, path: Path) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as caught:
        read(path)
    assert message.format(path=path) in caught.value.what


def test_a_list_that_does_not_exist(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read(path.parent)
