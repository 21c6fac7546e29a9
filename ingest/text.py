"""Text from elsewhere: made valid, and made fit to be shown, because it may try to write to the terminal."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import orjson

T = TypeVar("T")

# Python's cp1252 leaves five bytes undefined; they are the control characters of the same number, as in WHATWG's.
_WINDOWS_1252 = {
    0xDC00 + byte: bytes([byte]).decode("cp1252", "replace").replace("\ufffd", chr(byte)) for byte in range(128, 256)
}

# What a terminal obeys, C0 and C1 but tab and line feed; what reorders a line (bidirectional controls); what is no
# character at all, as Python keeps undecodable bytes.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def repaired(value: T) -> T:
    """A copy in which each byte that git passed through undecoded is read as Windows-1252."""
    if isinstance(value, str):
        return value.translate(_WINDOWS_1252)  # type: ignore[return-value]
    if isinstance(value, Mapping):
        return {repaired(key): repaired(each) for key, each in value.items()}  # type: ignore[return-value]
    if isinstance(value, list | tuple):
        return [repaired(each) for each in value]  # type: ignore[return-value]
    return value


def printable(text: str) -> str:
    """Text with a question mark for each character that is not meant to be seen."""
    return _UNSAFE.sub("?", text)


def json_text(value: Any, *, indent: bool = False) -> str:
    """JSON that holds no such character either: they are written as escapes, which mean the same."""
    text = orjson.dumps(repaired(value), option=orjson.OPT_INDENT_2 if indent else None).decode()
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def without(text: str, secrets: Iterable[str]) -> str:
    """Text with asterisks for each of some secrets, as it is, or as URLs, headers and JSON write it."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _forms(secret: str) -> Iterable[str]:
    encoded = base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode()
    in_json = (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    return secret, quote(secret, errors="replace"), quote(secret, "", errors="replace"), encoded, *in_json
