"""The document of a commit: its mapping, defined once, and the way from Perceval's item to it and back.

`item()` is the inverse of `document()` but for one repair: a byte that git passed through undecoded is read as
Windows-1252, and comes back as such.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple, TypeVar

import orjson
from elasticsearch.dsl import Document, Index, InnerDoc
from elasticsearch.dsl import Mapping as DslMapping
from elasticsearch.dsl.document_base import MetaField
from elasticsearch.dsl.field import Alias, Boolean, Date, Integer, Keyword, Long, Object, Short, Text
from grimoirelab_toolkit.datetime import InvalidDateError, str_to_datetime
from perceval.backend import uuid

MAPPING_VERSION = 1
"""Raised when the mapping changes in a way that makes existing documents wrong."""

LONGEST_KEYWORD = 8191
"""Characters; Lucene's limit is 32,766 bytes, and a character takes at most four."""


def _keyword() -> Keyword:
    return Keyword(ignore_above=LONGEST_KEYWORD)


def _stored() -> Keyword:
    return Keyword(index=False, doc_values=False)


class Person(InnerDoc):
    """An author or committer, as the commit names them (after the repository's own mailmap)."""

    name = Keyword(ignore_above=LONGEST_KEYWORD, fields={"text": Text()})
    email = _keyword()
    domain = _keyword()


class File(InnerDoc):
    """A file that a commit touches, against its (for merges: each) parent."""

    path = _keyword()
    old_path = _keyword()
    action = _keyword()
    added = Integer()
    removed = Integer()
    binary = Boolean()
    modes = _stored()
    indexes = _stored()


class Trailers(InnerDoc):
    """The trailers that Perceval knows, each a list of values."""

    acked_by = _keyword()
    co_authored_by = _keyword()
    helped_by = _keyword()
    mentored_by = _keyword()
    reported_by = _keyword()
    reviewed_by = _keyword()
    signed_off_by = _keyword()
    suggested_by = _keyword()
    tested_by = _keyword()


class Commit(Document):
    """A commit as it is indexed; use it with ``elasticsearch.dsl`` for typed searches."""

    hash = _keyword()
    parents = _keyword()
    refs = _keyword()
    origin = _keyword()
    project = _keyword()
    author = Object(Person)
    committer = Object(Person)
    author_date = Date()
    commit_date = Date()
    author_utc_offset = Short()
    committer_utc_offset = Short()
    subject = Text(fields={"keyword": Keyword(ignore_above=LONGEST_KEYWORD)})
    message = Text()
    is_merge = Boolean()
    files = Object(File)
    files_count = Integer()
    lines_added = Long()
    lines_removed = Long()
    trailers = Object(Trailers)
    incomplete = _keyword()
    perceval_version = _keyword()
    backend_version = _keyword()
    ingested_at = Date()
    updated_on = Date()
    # What no typed field gives back exactly, so that nothing of Perceval's item is lost.
    raw = Object(enabled=False)

    # The names that GrimoireLab's dashboards know.
    author_name = Alias(path="author.name")
    author_domain = Alias(path="author.domain")
    committer_name = Alias(path="committer.name")
    utc_commit = Alias(path="commit_date")
    title = Alias(path="subject")
    grimoire_creation_date = Alias(path="author_date")

    class Meta:
        dynamic = MetaField("strict")


def mapping() -> dict[str, Any]:
    """The index mapping, as the create-index API takes it."""
    index = Index("commits")
    index.document(Commit)
    extra = DslMapping().field("@timestamp", Alias(path="commit_date"))
    extra.meta("_meta", {"mapping_version": MAPPING_VERSION})
    index.mapping(extra)
    mappings: dict[str, Any] = index.to_dict()["mappings"]
    return mappings


class Action(NamedTuple):
    """One document on its way to ``streaming_bulk``.

    :ivar id: ``_id``, Perceval's ``uuid``
    :ivar source: the document as JSON
    :ivar problem: why a part of the commit is missing
    """

    id: str
    source: bytes
    problem: str | None = None


def action(item: Mapping[str, Any], problem: str | None = None, project: str | None = None) -> Action:
    """Turn Perceval's item into what is sent."""
    return Action(item["uuid"], to_json(document(item, problem, project)), problem)


def to_json(document: Mapping[str, Any]) -> bytes:
    """Serialize a document; text is repaired, so that the result is valid UTF-8 always."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # orjson refuses the surrogates in which Python keeps undecodable bytes; few documents have them.
        return orjson.dumps(repaired(document))


# Python's cp1252 leaves five bytes undefined; they are the control characters of the same number, as in WHATWG's.
_WINDOWS_1252 = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "replace").replace("\ufffd", chr(byte)) for byte in range(128, 256)
}

T = TypeVar("T")


def repaired(value: T) -> T:
    """A copy in which each byte that git passed through undecoded is read as Windows-1252."""
    if isinstance(value, str):
        return value.translate(_WINDOWS_1252)  # type: ignore[return-value]
    if isinstance(value, Mapping):
        return {repaired(key): repaired(each) for key, each in value.items()}  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return [repaired(each) for each in value]  # type: ignore[return-value]
    return value


_TRAILERS = {
    "Acked-by": "acked_by",
    "Co-authored-by": "co_authored_by",
    "Helped-by": "helped_by",
    "Mentored-by": "mentored_by",
    "Reported-by": "reported_by",
    "Reviewed-by": "reviewed_by",
    "Signed-off-by": "signed_off_by",
    "Suggested-by": "suggested_by",
    "Tested-by": "tested_by",
}
_SIGNATURES = {"author": "Author", "committer": "Commit"}
_DATES = {("author_date", "author_utc_offset"): "AuthorDate", ("commit_date", "committer_utc_offset"): "CommitDate"}
_TYPED = {"commit", "parents", "refs", "message", "files", *_SIGNATURES.values(), *_DATES.values(), *_TRAILERS}


def document(item: Mapping[str, Any], problem: str | None = None, project: str | None = None) -> dict[str, Any]:
    """The document of an item that Perceval's ``Git`` backend gave.

    :param item: the item, its text decoded with ``surrogateescape``
    :param problem: why a part of the commit is missing
    :param project: optional label
    """
    data = item["data"]
    raw = {name: value for name, value in data.items() if name not in _TYPED}
    files = [_file(each) for each in data["files"]]
    fields: dict[str, Any] = {
        "hash": data["commit"],
        "parents": data["parents"],
        "refs": _invertible(data["refs"], "refs", raw, _full_names, _decorations) if data["refs"] else [],
        "origin": item["origin"],
        "is_merge": len(data["parents"]) > 1,
        "files": files,
        "files_count": len(files),
        "lines_added": sum(each.get("added", 0) for each in files),
        "lines_removed": sum(each.get("removed", 0) for each in files),
        "perceval_version": item["perceval_version"],
        "backend_version": item["backend_version"],
        "ingested_at": _utc(item["timestamp"]),
        "updated_on": _utc(item["updated_on"]),
    }
    # Git prints neither header of a signature that it cannot parse.
    for role, name in _SIGNATURES.items():
        if name in data:
            fields[role] = _invertible(data[name], name, raw, _person, _signature)
    for (date, offset), name in _DATES.items():
        if name in data:
            fields[date], fields[offset] = _invertible(data[name], name, raw, _date, _git_date)
    if "message" in data:
        fields["message"] = data["message"]
        fields["subject"] = data["message"].partition("\n")[0]
    if trailers := {field: data[name] for name, field in _TRAILERS.items() if name in data}:
        fields["trailers"] = trailers
    if names := _names_git_spells_otherwise(data["files"], files):
        raw["files"] = names
    optional = {"project": project, "incomplete": problem, "raw": raw}
    return fields | {name: value for name, value in optional.items() if value}


def item(document: Mapping[str, Any]) -> dict[str, Any]:
    """Perceval's item, read back from a document as Elasticsearch returns it in ``_source``."""
    raw = document.get("raw", {})
    data: dict[str, Any] = {
        "commit": document["hash"],
        "parents": document["parents"],
        "refs": _decorations(document["refs"]),
        "files": [_perceval_file(each) for each in document["files"]],
    }
    for role, name in _SIGNATURES.items():
        if role in document:
            data[name] = _signature(document[role])
    for (date, offset), name in _DATES.items():
        if date in document:
            data[name] = _git_date((document[date], document[offset]))
    for name, field in _TRAILERS.items():
        if field in document.get("trailers", {}):
            data[name] = document["trailers"][field]
    if "message" in document:
        data["message"] = document["message"]
    for position, spelt in raw.get("files", ()):
        data["files"][position] |= spelt
    data |= {name: value for name, value in raw.items() if name != "files"}
    return {
        "backend_name": "Git",
        "backend_version": document["backend_version"],
        "perceval_version": document["perceval_version"],
        "timestamp": datetime.fromisoformat(document["ingested_at"]).timestamp(),
        "origin": document["origin"],
        "uuid": uuid(document["origin"], document["hash"]),
        "updated_on": datetime.fromisoformat(document["updated_on"]).timestamp(),
        "classified_fields_filtered": None,
        "category": "commit",
        "search_fields": {"item_id": document["hash"]},
        "tag": document.get("project", document["origin"]),
        "data": data,
        "offset": document["hash"],
    }


def _invertible(value: T, name: str, raw: dict[str, Any], forth: Callable[[T], Any], back: Callable[[Any], T]) -> Any:
    """Convert a value, and keep it in `raw` too where the conversion loses something."""
    converted = forth(value)
    if back(converted) != value:
        raw[name] = value
    return converted


def _full_names(decorations: list[str]) -> list[str]:
    """Perceval's decorations (``HEAD -> refs/heads/x``, ``tag: refs/tags/y``) as full ref names.

    Perceval splits them at commas, which a ref's name may hold.
    """
    names: list[str] = []
    for part in decorations:
        if part.startswith("HEAD -> "):
            names += ["HEAD", part.removeprefix("HEAD -> ")]
        elif names and not part.startswith(("refs/", "tag: ", "HEAD")):
            names[-1] += f",{part}"
        else:
            names.append(part.removeprefix("tag: "))
    return names


def _decorations(names: list[str]) -> list[str]:
    decorated = [f"tag: {name}" if name.startswith("refs/tags/") else name for name in names]
    if decorated[:1] == ["HEAD"] and decorated[1:] and decorated[1].startswith("refs/heads/"):
        decorated[:2] = [f"HEAD -> {decorated[1]}"]
    return [part for name in decorated for part in name.split(",")]


def _person(signature: str) -> dict[str, str]:
    """``Name <email>`` in its parts; either may be empty, and a saved log may lack the email."""
    name, bracket, email = signature.rpartition("<")
    if not bracket or not email.endswith(">"):
        return {"name": signature}
    person = {"name": name.rstrip(" "), "email": email[:-1]}
    domain = person["email"].rpartition("@")[2].lower() if "@" in email else ""
    return person | {"domain": domain} if domain else person


def _signature(person: Mapping[str, str]) -> str:
    if "email" not in person:
        return person["name"]
    return f"{person['name']} <{person['email']}>".lstrip(" ")


_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: f"{number:02}" for number, name in enumerate(_MONTHS, 1)}
_GIT_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?P<month>[A-Z][a-z][a-z]) (?P<day>\d\d?) (?P<time>\d\d:\d\d:\d\d)"
    r" (?P<year>\d{1,4}) (?P<sign>[+-])(?P<hours>\d{2,})(?P<minutes>\d\d)"
)
_WIDEST_OFFSET = 18 * 60
"""Minutes; java.time, with which Elasticsearch reads dates, knows none beyond."""
_WIDEST_SHORT = 32767


def _date(text: str) -> tuple[str, int]:
    """A date as git prints it, in ISO 8601 with its own offset, and that offset in minutes.

    An offset that ISO 8601 or java.time does not know is kept in the minutes only, and the date is given in UTC.
    """
    match = _GIT_DATE.fullmatch(text)
    if match is None or match["month"] not in _MONTH_NUMBERS:
        return _foreign_date(text)
    month, day, time, year, sign, hours, minutes = match.groups()
    local = f"{year:0>4}-{_MONTH_NUMBERS[month]}-{day:0>2}T{time}"
    offset = int(hours) * 60 + int(minutes)
    if offset <= _WIDEST_OFFSET and int(minutes) < 60:
        return f"{local}{sign}{hours}:{minutes}", -offset if sign == "-" else offset
    offset = min(offset, _WIDEST_SHORT) * (-1 if sign == "-" else 1)
    try:
        return f"{(datetime.fromisoformat(local) - timedelta(minutes=offset)).isoformat()}Z", offset
    except (ValueError, OverflowError):
        return _foreign_date(text)


def _foreign_date(text: str) -> tuple[str, int]:
    """A date that is not in git's default format, as Perceval's own toolkit reads it; the epoch if it cannot."""
    try:
        date = str_to_datetime(text)
    except InvalidDateError:
        return "1970-01-01T00:00:00Z", 0
    minutes = math.trunc(date.utcoffset().total_seconds() / 60)
    return date.astimezone(timezone(timedelta(minutes=minutes))).isoformat(), minutes


def _git_date(typed: tuple[str, int]) -> str:
    """The inverse of `_date` for dates in git's default format."""
    iso, offset = typed
    date = datetime.fromisoformat(iso)
    if iso.endswith("Z"):
        date += timedelta(minutes=offset)
    hours, minutes = divmod(abs(offset), 60)
    return (
        f"{_WEEKDAYS[date.weekday()]} {_MONTHS[date.month - 1]} {date.day}"
        f" {date.hour:02}:{date.minute:02}:{date.second:02} {date.year}"
        f" {'-' if offset < 0 else '+'}{hours:02}{minutes:02}"
    )


def _utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat().replace("+00:00", "Z")


def _file(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A file of Perceval's item; numbers that it lacks (a merge's, a damaged diff's) stay absent."""
    new_name = entry.get("newfile")
    file: dict[str, Any] = {"path": unquoted(new_name or entry["file"])}
    if new_name:
        file["old_path"] = unquoted(entry["file"])
    if "action" in entry:
        file |= {"action": entry["action"], "modes": entry["modes"], "indexes": entry["indexes"]}
    if (added := entry.get("added")) is not None:
        file["binary"] = added == "-"
        if added != "-":
            file |= {"added": int(added), "removed": int(entry["removed"])}
    return file


def _perceval_file(file: Mapping[str, Any]) -> dict[str, Any]:
    if "old_path" in file:
        entry: dict[str, Any] = {"file": quoted(file["old_path"]), "newfile": quoted(file["path"])}
    else:
        entry = {"file": quoted(file["path"])}
    if "action" in file:
        entry |= {name: file[name] for name in ("action", "modes", "indexes")}
    if "binary" in file:
        entry["added"] = "-" if file["binary"] else str(file["added"])
        entry["removed"] = "-" if file["binary"] else str(file["removed"])
    return entry


def _names_git_spells_otherwise(entries: list[dict[str, Any]], files: list[dict[str, Any]]) -> list[Any]:
    """File names that quoting does not give back: bytes that are not UTF-8, or a log made with other settings."""
    differing = []
    for position, (entry, file) in enumerate(zip(entries, files, strict=True)):
        if _PLAIN_NAME.fullmatch(entry["file"]) and _PLAIN_NAME.fullmatch(entry.get("newfile", "")):
            continue
        spelt = {name: entry[name] for name in ("file", "newfile") if name in entry}
        again = _perceval_file(repaired(file))
        if any(again[name] != value for name, value in spelt.items()):
            differing.append([position, spelt])
    return differing


_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]*")
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')
_ESCAPES = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_ESCAPED = {byte: b"\\" + letter for letter, byte in _ESCAPES.items()}


def unquoted(name: str) -> str:
    """A file's real name; git prints unusual ones in C quotes (see ``core.quotePath``), which Perceval leaves in."""
    if not (len(name) > 1 and name[0] == name[-1] == '"'):
        return name
    inner = name[1:-1].encode("utf-8", "surrogateescape")
    real = _ESCAPE.sub(lambda match: bytes([_ESCAPES.get(match[1]) or int(match[1], 8) & 255]), inner)
    return real.decode("utf-8", "surrogateescape")


def quoted(name: str) -> str:
    """A file's name as git prints it by default; the inverse of `unquoted`."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    spelt = b"".join(
        _ESCAPED.get(byte) or (bytes([byte]) if 32 <= byte < 127 else b"\\%03o" % byte)
        for byte in name.encode("utf-8", "surrogateescape")
    )
    return f'"{spelt.decode("ascii")}"'
