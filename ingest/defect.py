"""What to say of an error that nobody foresaw."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

from ingest.errors import UsageError
from ingest.git.remote import Remote
from ingest.settings import secrets_of_elasticsearch
from ingest.text import without


def described(error: BaseException, *remotes: Remote) -> str:
    """A traceback without secrets, and what to do with it.

    Python shows no variables in it, but the message of an error may be about anything.

    :param remotes: whose credentials may be in it, besides those of the command line
    """
    secrets = secrets_of_elasticsearch().union(*(remote.secrets for remote in (*remotes, *_named())))
    trace = without("".join(traceback.format_exception(error)), secrets)
    return f"{trace}This is a defect of ingest: please report it, with the lines above. It is safe to run again."


def _named() -> Iterator[Remote]:
    for word in (*sys.argv[1:], *os.environ.get("INGEST_REPO", "").split()):
        with suppress(UsageError):
            yield Remote.parse(word)
