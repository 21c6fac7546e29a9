"""Where a repository is: the REPO argument taken apart, so that credentials go no further than git."""

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from ingest.errors import UsageError

SCHEMES = ("https", "http", "ssh", "git", "file")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)::?//|([A-Za-z][A-Za-z0-9+.-]*)::")
_SCP_LIKE = re.compile(r"(?P<login>[^/:@]+@)?(?P<host>\[[^]/]+\]|[^/:@]+):(?P<path>.+)")
_UNREADABLE_IN_A_NAME = re.compile(r"[^A-Za-z0-9._]+")


@dataclass(frozen=True)
class Remote:
    """A repository's address.

    :ivar origin: URL without credentials, or absolute path; Perceval's ``origin`` and what git is called with
    :ivar username: what stood before the ``@`` of an http(s) URL, percent-decoding undone
    :ivar password: what stood between ``:`` and ``@`` there, percent-decoding undone
    """

    origin: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """A readable name for files that belong to this repository, unique per origin."""
        readable = _UNREADABLE_IN_A_NAME.sub("-", self.origin.split("://")[-1]).strip("-.")[-80:].strip("-.")
        digest = hashlib.sha256(os.fsencode(self.origin)).hexdigest()[:8]
        return f"{readable or 'repository'}-{digest}"

    @property
    def secrets(self) -> set[str]:
        """What must be shown nowhere: the credentials, each alone and as they stand in a URL."""
        both = f"{self.username or ''}:{self.password}" if self.password else ""
        return {self.username or "", self.password or "", both} - {""}

    @classmethod
    def parse(cls, repository: str) -> "Remote":
        """Take a REPO argument apart: an https, http, ssh, git or file URL, ``user@host:path``, or a local path.

        :raises UsageError: the argument is empty, looks like an option, or names a transport not listed above
        """
        if not repository or repository.startswith("-"):
            raise UsageError(f"{repository!r} is not a repository", "give a URL or a path, ./ before a leading -")
        if "\0" in repository or "\n" in repository:
            raise UsageError("A repository's name holds a NUL or a line break", "give a URL or a path")
        scheme = _SCHEME.match(repository)
        if scheme:
            return cls._parse_url(repository, (scheme[1] or scheme[2]).lower(), helper="::" in scheme[0])
        if _SCP_LIKE.fullmatch(repository) and not Path(repository).exists():
            return cls._parse_scp_like(repository)
        # Of os.path, which keeps symbolic links, and a ~ before what is no user, as a shell does.
        return cls(os.path.abspath(os.path.expanduser(repository)))  # noqa: PTH100, PTH111

    @classmethod
    def _parse_url(cls, repository: str, scheme: str, *, helper: bool) -> "Remote":
        if helper or scheme not in SCHEMES:
            raise UsageError(
                f"The transport {scheme!r} is not supported",
                f"give a path, user@host:path, or a URL that begins with {', '.join(SCHEMES)}",
            )
        try:
            parts = urlsplit(repository)
            username, password = parts.username, parts.password
        except ValueError as error:
            raise UsageError(f"A repository's URL is malformed ({error})", "check it") from None
        login, _, host = parts.netloc.rpartition("@")
        if not (host or (scheme == "file" and parts.path)):
            raise UsageError("A repository's URL names no host", "check it")
        if scheme == "ssh" and (user := login.partition(":")[0]):
            # The user name of an ssh URL is part of the address (git@host), not a secret.
            host = f"{user}@{host}"
        origin = urlunsplit(parts._replace(netloc=host))
        if scheme not in ("http", "https"):
            return cls(origin)
        return cls(origin, *(None if part is None else unquote(part) for part in (username, password)))

    @classmethod
    def _parse_scp_like(cls, repository: str) -> "Remote":
        parts = _SCP_LIKE.fullmatch(repository)
        if parts is None or parts["host"].startswith("-") or (parts["login"] or "").startswith("-"):
            raise UsageError(f"{repository!r} is not a repository", "give a URL, user@host:path or a path")
        return cls(repository)
