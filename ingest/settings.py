"""The settings: one typed object in which each value has its flag, its environment variable, its unit and its default.

Flags win over the environment, the environment over the defaults. What says where Elasticsearch is and how to be let in
comes from the environment alone, because everybody on the machine can read a command's arguments. What is secret may
stand in a file instead, which the variable's name with ``_FILE`` names.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import platformdirs

from ingest.errors import UsageError

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
# https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
_BAD_IN_AN_INDEX_NAME = re.compile(r'[\\/*?"<>| ,#:A-Z]|^[-_+]|^\.\.?$')


def duration(text: str) -> float:
    """Seconds, from Elasticsearch's time units: ``500ms``, ``30s``, ``5m``, ``1h``, ``2d``."""
    return _with_unit(text, _SECONDS, "a duration, such as 30s, 5m or 1h")


def size(text: str) -> int:
    """Bytes, from Elasticsearch's byte units: ``512kb``, ``10mb``, ``1gb``, or a plain number."""
    return int(_with_unit(text if text.strip()[-1:].isalpha() else f"{text}b", _BYTES, "a size, such as 512kb or 10mb"))


def size_or_nothing(text: str) -> int:
    """Bytes as :func:`size` takes them, or 0."""
    return 0 if text.strip() == "0" else size(text)


def _with_unit(text: str, units: dict[str, Any], what: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    if match is None or match[2] not in units or not float(match[1]):
        raise ValueError(f"{text!r} is not {what}")
    return float(match[1]) * float(units[match[2]])


def at_least_one(text: str) -> int:
    """A whole number from 1."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number from 1")
    return int(text)


def boolean(text: str) -> bool:
    """Yes or no."""
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.strip().lower() not in known:
        raise ValueError(f"{text!r} is neither true nor false")
    return known[text.strip().lower()]


def log_format(text: str) -> str:
    """How log lines are written."""
    if text not in ("text", "json"):
        raise ValueError(f"{text!r} is neither text nor json")
    return text


def since(text: str) -> int:
    """Seconds since 1970 of a date or a time in ISO 8601; without a zone UTC is meant, a date is its first second."""
    return _moment(text, "00:00:00")


def until(text: str) -> int:
    """Seconds since 1970 of a date or a time in ISO 8601; without a zone UTC is meant, a date is its last second."""
    return _moment(text, "23:59:59")


def _moment(text: str, time_of_a_date: str) -> int:
    try:
        whole = f"{text}T{time_of_a_date}" if re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip()) else text
        moment = datetime.fromisoformat(whole.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date, such as 2026-01-31 or 2026-01-31T12:00:00+01:00") from None


def from_zero(text: str) -> int:
    """A whole number from 0."""
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is not a whole number from 0")
    return int(text)


def api_key(text: str) -> str:
    """What can stand in a header."""
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("it holds what no API key in its encoded form holds")
    return text


def index_name(text: str) -> str:
    """A name that Elasticsearch takes for an index, with room for the version that follows it."""
    if not text or _BAD_IN_AN_INDEX_NAME.search(text) or len(text.encode()) > 230:
        raise ValueError(f'{text!r} is not an index name: lower case, none of \\ / * ? " < > | , # : nor spaces')
    return text


def urls(text: str) -> tuple[str, ...]:
    """One or more URLs, comma-separated."""
    found = tuple(url.strip() for url in text.split(",") if url.strip())
    for url in found:
        if not re.match(r"https?://[^/]", url):
            raise ValueError("one of its URLs does not begin with http:// or https://")
        # In a user's password they end the host's name, and what follows would be taken for a path, and shown.
        if not re.fullmatch(r"https?://[^/?#\\\s]+(/[^?#@\\\s]*)?", url):
            raise ValueError(
                "one of its URLs holds one of / ? # @ \\ where it has no place; in a password: % and its code"
            )
    if len({user_of(url) for url in found}) > 1:
        raise ValueError("its URLs hold different credentials")
    return found


def user_of(url: str) -> str:
    """User and password that a URL holds, as they stand there; empty: none."""
    return urlsplit(url).netloc.rpartition("@")[0]


def _default_home() -> Path:
    # The server that we start as root runs as another user, who cannot reach root's home folder.
    return Path("/var/lib/ingest") if os.geteuid() == 0 else platformdirs.user_data_path("ingest")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _some_cores() -> int:
    # Each is a connection to a repository's host, which may be the same for all.
    return min(4, _cores())


def _setting(
    variable: str,
    meaning: str,
    parse: Callable[[str], Any] = str,
    *,
    default: Any = None,
    factory: Callable[[], Any] | None = None,
    shown: str | None = None,
    flag: str | None = None,
    many: bool = False,
    secret: bool = False,
) -> Any:
    metadata = {
        "variable": variable, "meaning": meaning, "parse": parse, "shown": shown, "flag": flag, "many": many,
        "secret": secret,
    }  # fmt: skip
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """Everything a command can be told. The metadata of a field names its variable, its flag and what it means."""

    es_url: tuple[str, ...] = _setting(
        "ES_URL", "Elasticsearch, one or more URLs, comma-separated", urls, default=(), shown="the embedded node",
        secret=True,
    )  # fmt: skip
    es_api_key: str | None = _setting("ES_API_KEY", "API key, in its encoded form", api_key, secret=True)
    es_username: str | None = _setting("ES_USERNAME", "user of basic authentication", secret=True)
    es_password: str | None = _setting("ES_PASSWORD", "password of basic authentication", secret=True)
    es_ca_certs: Path | None = _setting(
        "ES_CA_CERTS", "file with the only certificates to trust", Path, shown="the system's and certifi's"
    )
    home: Path = _setting(
        "INGEST_HOME", "folder for mirrors, rejects, the embedded node and its data", Path, factory=_default_home,
        shown="/var/lib/ingest as root, else the platform's user data folder",
    )  # fmt: skip
    index: str = _setting("INGEST_INDEX", "alias to write and read", index_name, default="commits", flag="--index")
    chunk_size: int = _setting(
        "INGEST_CHUNK_SIZE", "documents in one bulk request, at most", at_least_one, default=1000, flag="--chunk-size"
    )
    chunk_bytes: int = _setting(
        "INGEST_CHUNK_BYTES", "bytes in one bulk request, at most", size, default=10 << 20, shown="10mb",
        flag="--chunk-bytes",
    )  # fmt: skip
    retry_for: float = _setting(
        "INGEST_RETRY_FOR", "how long to try again without any progress", duration, default=300.0, shown="5m",
        flag="--retry-for",
    )  # fmt: skip
    repos: Path | None = _setting(
        "INGEST_REPOS", "file that lists repositories, or a `projects.json`", Path, shown="none", flag="--repos"
    )
    jobs: int = _setting(
        "INGEST_JOBS", "repositories at a time, where there are several", at_least_one, factory=_some_cores,
        shown="the cores this process may use, at most 4", flag="--jobs",
    )  # fmt: skip
    scheduler: str | None = _setting(
        "INGEST_SCHEDULER", "Dask scheduler whose workers load the repositories, such as `tcp://host:8786`",
        shown="none, this machine does", flag="--scheduler",
    )  # fmt: skip
    prune: bool = _setting(
        "INGEST_PRUNE", "remove from the index what the list of repositories no longer names", boolean, default=False,
        shown="no", flag="--prune",
    )  # fmt: skip
    shards: int | None = _setting(
        "INGEST_SHARDS", "primary shards of a new index", at_least_one, shown="Elasticsearch's, or the live index's",
        flag="--shards",
    )  # fmt: skip
    replicas: int | None = _setting(
        "INGEST_REPLICAS", "copies of each shard of a new index", from_zero,
        shown="Elasticsearch's, or the live index's", flag="--replicas",
    )  # fmt: skip
    branches: tuple[str, ...] = _setting(
        "INGEST_BRANCH", "branch to read; again for more", default=(), shown="every branch and tag", flag="--branch",
        many=True,
    )  # fmt: skip
    since: int | None = _setting(
        "INGEST_SINCE", "commit date of the oldest commits to read", since, shown="no bound", flag="--since"
    )
    until: int | None = _setting(
        "INGEST_UNTIL", "commit date of the newest commits to read", until, shown="no bound", flag="--until"
    )
    gitpath: Path | None = _setting(
        "INGEST_GITPATH", "where the mirror lies, or a saved git log to read instead", Path,
        shown="below INGEST_HOME", flag="--gitpath",
    )  # fmt: skip
    workers: int = _setting(
        "INGEST_WORKERS", "processes that read history", at_least_one, factory=_cores,
        shown="the cores this process may use", flag="--workers",
    )  # fmt: skip
    items_bytes: int = _setting(
        "INGEST_ITEMS_BYTES", "most bytes of read items kept per repository, for reindexing; 0: none", size_or_nothing,
        default=4 << 30, shown="4gb", flag="--items-bytes",
    )  # fmt: skip
    remote_timeout: float = _setting(
        "INGEST_REMOTE_TIMEOUT", "how long a repository's host may neither say nor do anything", duration,
        default=120.0, shown="2m", flag="--remote-timeout",
    )  # fmt: skip
    project: str | None = _setting("INGEST_PROJECT", "label for the documents", shown="none", flag="--project")
    keep: int = _setting(
        "INGEST_KEEP", "previous indices that stay after a reindex", from_zero, default=1, flag="--keep"
    )
    wait: bool = _setting(
        "INGEST_WAIT", "wait while another run holds a repository", boolean, default=False, shown="no, exit code 6",
        flag="--wait",
    )  # fmt: skip
    quiet: bool = _setting(
        "INGEST_QUIET", "say nothing unless something is wrong", boolean, default=False, shown="no", flag="--quiet"
    )
    log_format: str = _setting(
        "INGEST_LOG_FORMAT", "text, or json for one object a line", log_format, default="text", flag="--log-format"
    )
    heap: str = _setting("INGEST_HEAP", "heap of the embedded node", default="1g", flag="--heap")

    @property
    def shape(self) -> dict[str, int]:
        """The index settings that are given for a new index."""
        given = {"number_of_shards": self.shards, "number_of_replicas": self.replicas}
        return {name: count for name, count in given.items() if count is not None}

    @classmethod
    def gather(cls, given: dict[str, Any]) -> "Settings":
        """Join the given flags, by field name, with the environment and the defaults.

        :raises UsageError: a variable's value makes no sense, or two settings contradict each other
        """
        values = {name: value for name, value in given.items() if value is not None and value != ()}
        for each in fields(cls):
            if each.name not in values and (text := _told(each.metadata)):
                values[each.name] = _parsed(each.metadata, text)
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if (self.es_username is None) != (self.es_password is None):
            raise UsageError("Only one of ES_USERNAME and ES_PASSWORD is set", "set both, or neither")
        if self.es_api_key and self.es_username:
            raise UsageError("Both ES_API_KEY and ES_USERNAME are set", "set one kind of credentials")
        if (self.es_api_key or self.es_username) and any(map(user_of, self.es_url)):
            raise UsageError("ES_URL holds credentials, and there are others besides", "set one kind of credentials")
        if self.es_ca_certs is not None and not self.es_ca_certs.is_file():
            raise UsageError(f"ES_CA_CERTS names {self.es_ca_certs}, which is not a file", "name the CA's PEM file")
        if not self.home.is_absolute():
            # A relative home would be another one for each folder that cron or a user starts from.
            raise UsageError(f"INGEST_HOME is {self.home}, which is not absolute", "give an absolute path")


def _told(metadata: Any) -> str:
    """What the environment, or the file that it names, says; empty: nothing."""
    variable = metadata["variable"]
    text = os.environ.get(variable, "")
    if not metadata["secret"]:
        return text
    file = os.environ.get(f"{variable}_FILE", "")
    if text and file:
        raise UsageError(f"Both {variable} and {variable}_FILE are set", "set one of them")
    return _secret_in(Path(file), f"{variable}_FILE") if file else _one_line(text, variable)


def _secret_in(file: Path, variable: str) -> str:
    """The one line of a file; what it says stays out of every message."""
    named, advice = f"{variable} names {file}, which", "let it name a file that this user may read, with the value"
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{named} cannot be read ({error.strerror})", advice) from None
    except ValueError:
        raise UsageError(f"{named} does not hold text in UTF-8", advice) from None
    if not text.strip():
        raise UsageError(f"{named} is empty", advice)
    return _one_line(text, named)


def _one_line(text: str, whose: str) -> str:
    """A secret without the end of its line, which many a tool leaves there, and a header cannot hold."""
    line = text.rstrip("\r\n")
    if re.search(r"[\0\r\n]", line):
        raise UsageError(f"{whose} holds several lines, or a NUL", "give it one line")
    return line


def _secret() -> list[Any]:
    """The metadata of the settings that are secret."""
    return [each.metadata for each in fields(Settings) if each.metadata["secret"]]


def environment_for_others() -> dict[str, str]:
    """Our environment for those whom what opens Elasticsearch, and repositories, is no business of."""
    kept = os.environ.copy()
    for name in (*(metadata["variable"] for metadata in _secret()), "INGEST_REPO"):
        kept.pop(name, None)
        kept.pop(f"{name}_FILE", None)
    return kept


def secrets_of_elasticsearch() -> set[str]:
    """Every secret that the environment tells, as far as it can be read; names of users are none."""
    told = dict.fromkeys((metadata["variable"] for metadata in _secret()), "")
    for metadata in _secret():
        with suppress(UsageError):
            told[metadata["variable"]] = _told(metadata)
    found = {told["ES_API_KEY"], told["ES_PASSWORD"], f"{told['ES_USERNAME']}:{told['ES_PASSWORD']}"}
    for url in told["ES_URL"].split(","):
        with suppress(ValueError):
            login = unquote(user_of(url))
            found |= {login, login.partition(":")[2]}
    return found - {"", ":"}


def _parsed(metadata: Any, text: str) -> Any:
    try:
        parsed = [metadata["parse"](part) for part in (text.split() if metadata["many"] else [text])]
    except ValueError as error:
        raise UsageError(f"{metadata['variable']}: {error}", "correct that variable") from None
    return tuple(parsed) if metadata["many"] else parsed[0]


def default_shown(name: str) -> str:
    """A setting's default as the help shows it."""
    setting = next(each for each in fields(Settings) if each.name == name)
    return str(setting.metadata["shown"] or (setting.default if setting.default is not MISSING else ""))


def variable_in_a_shell(variable: str) -> str:
    """A shell's words for the value of a variable that may stand in a file."""
    return f'$(cat "${variable}_FILE")' if os.environ.get(f"{variable}_FILE") else f"${variable}"
