"""From the item that Perceval makes of a commit to the document that is indexed, and back.

`item()` is the inverse of `document()` but for one repair: a byte that git passed through undecoded is read as
Windows-1252, and comes back as such.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from grimoirelab_toolkit.datetime import InvalidDateError, str_to_datetime
from perceval.backend import uuid

from ingest.git import dates
from ingest.git.dates import GitDate
from ingest.text import repaired


class Action(NamedTuple):
    """One document on its way to ``streaming_bulk``.

    :ivar id: ``_id``, Perceval's ``uuid``
    :ivar source: the document as JSON; empty: it is to be deleted
    :ivar problem: why a part of the commit is missing
    """

    id: str
    source: bytes = b""
    problem: str | None = None


def action(item: Mapping[str, Any], problem: str | None = None, project: str | None = None) -> Action:
    """Turn Perceval's item into what is sent."""
    return Action(item["uuid"], to_json(document(item, problem, project)), problem)


FILES_CUT: Final = "file list cut: the document was too large for Elasticsearch"


def without_files(action: Action) -> Action | None:
    """A document without its list of files, whose number and lines it still tells; None: it has none."""
    document = orjson.loads(action.source)
    if not document.get("files"):
        return None
    document |= {"files": [], "incomplete": FILES_CUT}
    document.get("raw", {}).pop("files", None)
    return Action(action.id, orjson.dumps(document), FILES_CUT)


def to_json(document: Mapping[str, Any]) -> bytes:
    """Serialize a document; text is repaired, so that the result is valid UTF-8 always."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        # orjson refuses the surrogates in which Python keeps undecodable bytes; few documents have them.
        return orjson.dumps(repaired(document))


T = TypeVar("T")

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
        "refs": _invertible(data["refs"], "refs", raw, full_names, _decorations) if data["refs"] else [],
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
            fields[role] = _invertible(data[name], name, raw, person, _signature)
    for (date, offset), name in _DATES.items():
        if name in data:
            fields[date], fields[offset], exact = _date(data[name])
            if not exact:
                raw[name] = data[name]
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
            data[name] = _git_date(document[date], document[offset])
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


def full_names(decorations: list[str]) -> list[str]:
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


def person(signature: str) -> dict[str, str]:
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


_WIDEST_OFFSET = 18 * 60
"""Minutes; java.time, with which Elasticsearch reads dates, knows none beyond."""
_WIDEST_SHORT = 32767


def _date(text: str) -> tuple[str, int, bool]:
    """A date in ISO 8601 with its own offset, that offset in minutes, and whether the two give back the text.

    An offset that java.time does not know is kept in the minutes only, and the date is given in UTC.
    """
    date = dates.read(text)
    if date is None:
        return _foreign_date(text)
    local, offset, exact = date
    if abs(offset) <= _WIDEST_OFFSET:
        hours, minutes = divmod(abs(offset), 60)
        return f"{local.isoformat()}{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}", offset, exact
    fitting = max(-_WIDEST_SHORT, min(offset, _WIDEST_SHORT))
    try:
        moment = local - timedelta(minutes=offset)
    except OverflowError:
        return _foreign_date(text)
    return f"{moment.isoformat()}Z", fitting, exact and fitting == offset


def _foreign_date(text: str) -> tuple[str, int, bool]:
    """A date that is not in git's default format, as Perceval's own toolkit reads it; the epoch if it cannot."""
    try:
        date = str_to_datetime(text)
    except InvalidDateError:
        return "1970-01-01T00:00:00Z", 0, False
    minutes = math.trunc(date.utcoffset().total_seconds() / 60)
    return date.astimezone(timezone(timedelta(minutes=minutes))).isoformat(), minutes, False


def _git_date(iso: str, offset: int) -> str:
    """The inverse of `_date` for dates in git's default format."""
    local = datetime.fromisoformat(iso).replace(tzinfo=None)
    return dates.printed(GitDate(local + timedelta(minutes=offset) if iso.endswith("Z") else local, offset))


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
