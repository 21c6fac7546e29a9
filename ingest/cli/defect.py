"""What to say of an error that nobody foresaw."""

import os
import sys
import traceback
from collections.abc import Iterator

from ingest.errors import UsageError
from ingest.git.remote import Remote
from ingest.settings import secrets_of_elasticsearch
from ingest.text import without


def described(error: BaseException) -> str:
    """A traceback without secrets, and what to do with it.

    Python shows no variables in it, but the message of an error may be about anything.
    """
    trace = without("".join(traceback.format_exception(error)), secrets_of_elasticsearch() | set(_of_repositories()))
    return f"{trace}This is a defect of ingest: please report it, with the lines above. It is safe to run again."


def _of_repositories() -> Iterator[str]:
    for word in (*sys.argv[1:], *os.environ.get("INGEST_REPO", "").split()):
        try:
            remote = Remote.parse(word)
        except UsageError:
            continue
        yield from filter(None, (remote.username, remote.password))
        if remote.password:
            yield f"{remote.username or ''}:{remote.password}"
