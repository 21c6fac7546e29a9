from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.cli import cli
from ingest.errors import UsageError
from ingest.settings import (
    Settings,
    duration,
    environment_for_others,
    secrets_of_elasticsearch,
    size,
    size_or_nothing,
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in fields(Settings):
        monkeypatch.delenv(each.metadata["variable"], raising=False)
        monkeypatch.delenv(f"{each.metadata['variable']}_FILE", raising=False)


def test_flags_win_over_the_environment_and_the_environment_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.gather({}).chunk_size == 1000
    monkeypatch.setenv("INGEST_CHUNK_SIZE", "20")
    assert Settings.gather({}).chunk_size == 20
    assert Settings.gather({"chunk_size": 30}).chunk_size == 30


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "")
    monkeypatch.setenv("INGEST_INDEX", "")
    assert (Settings.gather({}).es_url, Settings.gather({}).index) == ((), "commits")


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800), ("1.5 h", 5400)]
)
def test_durations_have_elasticsearchs_units(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("10", 10), ("1kb", 1024), ("10MB", 10 << 20), ("1gb", 1 << 30)])
def test_sizes_have_elasticsearchs_units(text: str, count: int) -> None:
    assert size(text) == count


def test_only_a_size_that_may_be_nothing_takes_0() -> None:
    assert (size_or_nothing("0"), size_or_nothing("512kb")) == (0, 512 << 10)
    for parse, text in ((size, "0"), (size_or_nothing, "-1"), (size_or_nothing, "")):
        with pytest.raises(ValueError, match="is not a size"):
            parse(text)


@pytest.mark.parametrize("text", ["", "s", "0s", "-1s", "5 parsecs", "1e3s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


def test_urls_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "http://a:9200, https://b:9200/path")
    assert Settings.gather({}).es_url == ("http://a:9200", "https://b:9200/path")


def test_two_kinds_of_credentials_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ES_API_KEY", "ES_USERNAME", "ES_PASSWORD"):
        monkeypatch.setenv(name, "hunter2")
    with pytest.raises(UsageError, match="Both ES_API_KEY and ES_USERNAME"):
        Settings.gather({})


def test_credentials_in_the_url_and_elsewhere_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "https://u:hunter2@h:9200")
    monkeypatch.setenv("ES_API_KEY", "hunter2")
    with pytest.raises(UsageError, match="ES_URL holds credentials, and there are others"):
        Settings.gather({})


SECRETS = [each for each in fields(Settings) if each.metadata["secret"]]


def test_each_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert [each.name for each in SECRETS] == ["es_url", "es_api_key", "es_username", "es_password"]
    for name, text in (
        ("ES_URL", "https://h:9200\n"),
        ("ES_USERNAME", "loader"),
        ("ES_PASSWORD", " p\u00e4ss \r\n"),
    ):
        (tmp_path / name).write_bytes(text.encode())
        # As Kubernetes mounts it: the mode is no reason to refuse it.
        (tmp_path / name).chmod(0o444)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    settings = Settings.gather({})
    assert settings.es_url == ("https://h:9200",)
    assert (settings.es_username, settings.es_password) == ("loader", " p\u00e4ss ")


def test_only_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGEST_INDEX_FILE", str(tmp_path / "nothing"))
    assert Settings.gather({}).index == "commits"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read \\(No such file"), (b"", "is empty"), (b" \n", "is empty"), (b"hunter2\nx", "several"),
     (b"hunter2\0", "a NUL"), (b"hunter2\xff", "UTF-8")]
)  # fmt: skip
@pytest.mark.parametrize("variable", [each.metadata["variable"] for each in SECRETS])
def test_a_file_without_a_secret_is_told(
    variable: str, content: bytes | None, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(UsageError, match=f"{variable}_FILE names {file}, which .*{words}") as raised:
        Settings.gather({})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("variable", [each.metadata["variable"] for each in SECRETS])
def test_a_secret_that_is_told_twice(variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(variable, "hunter2")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path))
    with pytest.raises(UsageError, match=f"Both {variable} and {variable}_FILE are set"):
        Settings.gather({})


def test_others_inherit_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(each.metadata["variable"] for each in SECRETS), "INGEST_REPO"):
        monkeypatch.setenv(name, "hunter2")
        monkeypatch.setenv(f"{name}_FILE", "hunter2")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -v")
    inherited = environment_for_others()
    assert "hunter2" not in inherited.values()
    assert inherited["GIT_SSH_COMMAND"] == "ssh -v"


def test_secrets_are_found_wherever_they_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    monkeypatch.setenv("ES_URL", "https://u:in%20a%20url@a,https://[broken")
    monkeypatch.setenv("ES_API_KEY", "key")
    monkeypatch.setenv("ES_USERNAME", "user")
    monkeypatch.setenv("ES_PASSWORD_FILE", str(tmp_path / "password"))
    assert secrets_of_elasticsearch() == {"key", "from a file", "user:from a file", "u:in a url", "in a url"}


def test_settings_shown_in_a_debugger_or_a_log_hold_no_secret() -> None:
    settings = Settings(es_url=("http://u:hunter2@h",), es_api_key="hunter2", es_password="hunter2")
    assert "hunter2" not in repr(settings)


def test_each_flag_and_variable_is_documented() -> None:
    document = (Path(__file__).parents[1] / "docs" / "settings.md").read_text()
    for each in fields(Settings):
        row = next(line for line in document.splitlines() if f"`{each.metadata['variable']}`" in line)
        assert each.metadata["meaning"].lower() in row.lower()
        assert each.metadata["flag"] is None or f"`{each.metadata['flag']}`" in row
        assert (f"`{each.metadata['variable']}_FILE`" in row) == each.metadata["secret"]


def test_the_help_of_a_command_names_flag_variable_and_default() -> None:
    text = CliRunner().invoke(cli, ["load", "--help"], terminal_width=200).output
    for words in ("--chunk-size", "INGEST_CHUNK_SIZE", "default: 1000", "--retry-for", "default: 5m"):
        assert words in text
