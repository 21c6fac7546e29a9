"""Repositories that left the list: told of, or removed with all that is known of them."""

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from ingest.errors import IngestError, RepositoryBusyError
from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.git.store import path_of
from ingest.index import bulk
from ingest.index.contents import anew
from ingest.index.conversion import Action
from ingest.index.overview import Overview
from ingest.ledger import Ledger
from ingest.many.campaign import OF_ALL
from ingest.many.listing import Wanted
from ingest.pipeline import Job
from ingest.progress import Progress

_log = logging.getLogger(__name__)

_NAMED: Final = 20
"""So many are named, where they are only told of."""


def others(wanted: Sequence[Wanted], job: Job, overview: Overview) -> int:
    """See to the origins that the index knows and nobody wants: say which, or, if told to, remove them.

    :param wanted: not empty
    :return: the exit code: 0, or that of the last that could not be removed
    :raises ElasticsearchUnavailableError: Elasticsearch does not answer
    """
    settings = job.settings
    known = overview.commits().keys() | (set(job.contents("").origins()) if settings.prune else set())
    left = sorted(known - {each.remote.origin for each in wanted})
    if settings.prune:
        return max((_removed(origin, job) for origin in left), default=0)
    if left:
        more = ", …" if len(left) > _NAMED else ""
        _log.info("Not in %s, but in %s: %s%s (%s in all). They stay as they are; --prune removes them",
                  settings.repos, settings.index, ", ".join(left[:_NAMED]), more, f"{len(left):,}")  # fmt: skip
    return 0


def _removed(origin: str, job: Job) -> int:
    try:
        count = _remove(origin, job)
    except IngestError as error:
        if error.exit_code == OF_ALL:
            raise
        _log.error("%s", error)
        return error.exit_code
    _log.info("%s is not in %s, and was removed with its %s documents", origin, job.settings.repos, f"{count:,}")
    return 0


def _remove(origin: str, job: Job) -> int:
    """Remove what is kept of an origin, its state last but for the mirror, and give how many documents there were.

    :raises RepositoryBusyError: another run is at work on it
    """
    path = mirror.folder(job.settings.home, Remote.parse(origin))
    with mirror.held(path, wait=job.settings.wait):
        with job.state.attempt(origin, str(path)) as attempt:
            attempt.touch()
            count = anew(lambda: _delete_documents(origin, job))
            if job.contents(origin).count() or not attempt.forget():
                raise RepositoryBusyError(f"Another run is loading {origin}, which is to be removed", "see which")
        mirror.remove(path, path_of(path))
    return count


def _delete_documents(origin: str, job: Job) -> int:
    def actions() -> Iterator[Action]:
        return (Action(identifier) for identifier, _ in job.contents(origin).documents())

    with Progress(f"removing {origin}", None, show=job.show) as progress:
        Ledger(progress, job.rejects).settle(bulk.send(job.target, actions(), progress.retried))
        return progress.tally.deleted
