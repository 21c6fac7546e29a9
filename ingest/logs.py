"""Log lines: on standard error, above a bar if there is one, as text or as JSON."""

import logging
import sys
from datetime import UTC, datetime

from tqdm import tqdm

from ingest.text import json_text, printable


class JsonFormatter(logging.Formatter):
    """A log line as a JSON object: ``time``, ``level``, ``message``, and the figures of a repository, if it has any."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json_text(line | getattr(record, "figures", {}))


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _StandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def start() -> None:
    """Show our own lines only: those of libraries may name what must not be named."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = _StandardError()
    handler.setFormatter(_TextFormatter("ingest: %(message)s"))
    log = logging.getLogger("ingest")
    log.setLevel(logging.INFO)
    log.addHandler(handler)


def style(*, quiet: bool, log_format: str) -> None:
    """Change what is shown, and how.

    :param quiet: warnings and errors only
    :param log_format: ``text`` or ``json``
    """
    log = logging.getLogger("ingest")
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    if log_format == "json":
        for handler in log.handlers:
            handler.setFormatter(JsonFormatter())
