"""Does a server answer on a port of this machine?"""

import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException

PATIENCE = 5
"""Seconds to wait for an answer."""


@dataclass(frozen=True)
class Answer:
    """``ready``: health is at least yellow, or (401) only those with a password are told."""

    url: str
    ready: bool


def ask(port: int) -> Answer | None:
    """Ask the server on ``port`` for its health, over HTTP and, when that is not understood, HTTPS.

    ``GET /`` and a ``HEAD`` of it, which clients use, are absent from the embedded server.
    """
    for scheme in ("http", "https"):
        url = f"{scheme}://127.0.0.1:{port}"
        status = _status(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s")
        if status is not None:
            return Answer(url, ready=status in (200, 401))
    return None


def _status(url: str) -> int | None:
    """Return the HTTP status of a GET; None when there is no HTTP answer."""
    # Nothing is sent that needs protection, and a proxy knows nothing of this machine's loopback.
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unverified)
    )
    try:
        with opener.open(url, timeout=PATIENCE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except (OSError, HTTPException):
        return None
