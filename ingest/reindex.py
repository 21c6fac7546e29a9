"""Building an index anew beside the live one, and letting the alias stand for it when it is complete."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import elasticsearch
import orjson

from ingest import pipeline
from ingest.errors import (
    ElasticsearchRefusedError,
    ElasticsearchUnavailableError,
    IngestError,
    RepositoryBusyError,
    UsageError,
)
from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index import bulk, manage
from ingest.index.contents import Contents, anew
from ingest.index.conversion import Action
from ingest.index.document import MAPPING_VERSION
from ingest.index.rejects import Rejects
from ingest.index.state import Entry, State
from ingest.ledger import Ledger
from ingest.pipeline import Job
from ingest.progress import Progress, Tally
from ingest.settings import Settings

_log = logging.getLogger(__name__)

_ROUNDS = 5
"""So often the repositories that were loaded into the live index meanwhile are looked at again."""


@dataclass(frozen=True)
class Rebuild:
    """One reindex.

    :ivar live: the index behind the alias until now, None where there is none
    :ivar job: what is done with every repository; its target and state are those of the new index
    :ivar named: the repositories that are to be read, by origin; none: all that the live index knows
    """

    live: str | None
    job: Job
    named: Mapping[str, Remote]

    def known(self) -> dict[str, Entry]:
        """What the live index knows of each origin that it holds, the named ones among them."""
        entries = {origin: Entry(origin) for origin in self.named}
        if self.live is not None:
            entries |= {origin: Entry(origin) for origin in self.live_contents("").origins()}
            entries |= {entry.origin: entry for entry in replace(self.job.state, index=self.live).entries()}
        return entries

    def live_contents(self, origin: str) -> Contents:
        """What the live index holds of an origin."""
        return replace(self.job.contents(origin), index=self.live or "")

    def is_copied(self, entry: Entry) -> bool:
        """Whether the documents of an origin are taken over as they are, rather than made from its repository."""
        log_is_gone = (
            entry.reached is not None
            and entry.reached.snapshot is None
            and not Path(entry.reached.gitpath or "").is_file()
        )
        if self.live is None or not (log_is_gone or (self.named and entry.origin not in self.named)):
            return False
        return manage.mapping_version(self.job.target.client, self.live) == MAPPING_VERSION


def reindex(
    client: elasticsearch.Elasticsearch, named: list[Remote], settings: Settings, rejects: Rejects, *, show: bool
) -> Tally:
    """Build the index anew from repositories; nobody sees anything of it before it is complete.

    :param named: the repositories to read; what the live index holds of others is taken over. None: all that it knows
    :raises IngestError: it could not be completed; the alias stands for what it stood for before
    """
    alias = settings.index
    with mirror.held(settings.home / f"{alias}.reindex", wait=settings.wait):
        live = manage.behind(client, alias)
        if live is None and not named:
            raise UsageError(f"{alias} does not exist", 'name a repository: make reindex REPO="URL-or-path …"')
        index = manage.new_name(alias)
        state = State(client, alias, index, settings.retry_for)
        target = pipeline.target_at(client, settings, manage.building(index), index)
        rebuild = Rebuild(
            live, Job(settings, target, state, rejects, show), {remote.origin: remote for remote in named}
        )
        try:
            manage.create_beside(client, index, live, settings.retry_for, settings.shape)
            state.create()
            with manage.tuned_for_first_load(client, index, settings.retry_for):
                tally = _build(rebuild)
            manage.swap(client, alias, live, index, settings.retry_for)
        except BaseException:
            with suppress(IngestError):
                manage.remove(client, [index])
            raise
        _tidy(rebuild.job)
        return tally


def _build(rebuild: Rebuild) -> Tally:
    """Fill the new index; what the live one was given meanwhile too."""
    tally = Tally()
    built: dict[str, str | None] = {}
    for _ in range(_ROUNDS):
        known = rebuild.known()
        if not known:
            raise UsageError(
                f"{rebuild.job.settings.index} knows no repository",
                'name one or more: make reindex REPO="URL-or-path …"',
            )
        left = [entry for entry in known.values() if built.get(entry.origin, "never") != entry.last_success]
        if not left:
            return tally
        for entry in left:
            tally.add(anew(partial(_copy, rebuild, entry)) if rebuild.is_copied(entry) else _load(rebuild, entry))
            built[entry.origin] = entry.last_success
    raise RepositoryBusyError(
        f"Other runs keep loading into {rebuild.job.settings.index}", "reindex while no others run"
    )


def _load(rebuild: Rebuild, entry: Entry) -> Tally:
    """Fill the new index from a repository, with what was selected of it so far.

    :raises ElasticsearchRefusedError: it would hold less than the live one
    """
    job = replace(rebuild.job, settings=pipeline.as_before(rebuild.job.settings, entry.reached))
    tally = pipeline.load(rebuild.named.get(entry.origin) or Remote.parse(entry.origin), job)
    if tally.missing and rebuild.live is not None:
        before, now = rebuild.live_contents(entry.origin).count(), job.contents(entry.origin).count()
        if now < before:
            raise ElasticsearchRefusedError(
                f"Of {entry.origin}, {now:,} commits could be indexed anew, and {job.settings.index} holds {before:,}",
                f"see the list of what is lacking; {job.settings.index} stays as it is",
            )
    return tally


def _copy(rebuild: Rebuild, entry: Entry) -> Tally:
    """Take an origin's documents, and what is known of it, over from the live index."""
    job = rebuild.job
    here, there = rebuild.live_contents(entry.origin), job.contents(entry.origin)
    ids = set()

    def actions() -> Iterator[Action]:
        for identifier, source in here.documents(whole=True):
            ids.add(identifier)
            yield Action(identifier, orjson.dumps(source))
        for identifier, _ in there.documents():
            if identifier not in ids:
                yield Action(identifier)

    with (
        job.state.attempt(entry.origin, "") as attempt,
        Progress(entry.origin, here.count(), show=job.show) as progress,
    ):
        attempt.touch()
        Ledger(progress, job.rejects).settle(bulk.send(job.target, actions(), progress.retried))
        if there.count() != len(ids):
            raise ElasticsearchUnavailableError(
                f"Of the {len(ids):,} commits of {entry.origin}, {there.count():,} could be taken over",
                f"{job.settings.index} stays as it is",
            )
        if entry.reached is not None:
            attempt.finish(entry.reached, 0)
        return progress.tally


def _tidy(job: Job) -> None:
    """Remove what the alias no longer needs."""
    client, alias = job.target.client, job.settings.index
    try:
        manage.remove(client, manage.superseded(client, alias, job.settings.keep))
        job.state.sweep(manage.versions(client, alias))
    except IngestError as error:
        _log.warning("%s is complete, but older indices could not be removed; the next reindex tries again. %s",
                     alias, error)  # fmt: skip
