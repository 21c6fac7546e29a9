"""Where test nodes keep the server and Java, fetched once for all tests and test runs."""

import os
from pathlib import Path

from platformdirs import user_cache_path


def node_cache() -> Path:
    """Return ``$INGEST_TEST_CACHE`` or a folder of this user's, as root one that others can reach."""
    chosen = os.environ.get("INGEST_TEST_CACHE")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/tmp/ingest-tests")  # noqa: S108 (survives a reboot; it is filled by renames, under a lock)
    return user_cache_path("ingest-tests")
