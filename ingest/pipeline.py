"""The way of a commit: repository, mirror, history, reader, document, streaming_bulk, tally."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import elasticsearch

from ingest.convergence import Goal, Plan, plan
from ingest.errors import RepositoryBusyError
from ingest.git import grounds, mirror, perceval, reader
from ingest.git.history import Hashes, Selection
from ingest.git.remote import Remote
from ingest.git.seats import Seats
from ingest.git.snapshot import Snapshot, fingerprint, shallow, snapshot
from ingest.git.store import Store
from ingest.index import bulk, manage
from ingest.index.bulk import Target
from ingest.index.contents import Contents
from ingest.index.conversion import Action, action
from ingest.index.rejects import Rejects, read
from ingest.index.state import Attempt, Reached, State
from ingest.ledger import Ledger
from ingest.progress import Progress, Tally, Viewer
from ingest.settings import Settings

SOME_LACKING = 3
"""The exit code of a run that finished, but some commits are not in the index, or not whole."""
_ROUNDS = 5


@dataclass(frozen=True)
class Job:
    """What one run does with every repository.

    :ivar rejects: where rejected documents, unreadable and incomplete commits are listed
    :ivar show: let git, and bars, show on standard error how far it is
    :ivar list_damage: list what git cannot read; False: not yet
    :ivar list_again: list what earlier runs listed too
    :ivar viewer: who is told how far it is, instead of bars and log lines
    :ivar seats: which the processes that read share with other programs on this machine
    """

    settings: Settings
    target: Target
    state: State
    rejects: Rejects
    show: bool
    list_damage: bool = True
    list_again: bool = False
    viewer: Viewer | None = None
    seats: Seats | None = None

    def contents(self, origin: str) -> Contents:
        """What the index holds of an origin."""
        return Contents(self.target.client, self.target.index, origin, self.target.retry_for)


def target_of(client: elasticsearch.Elasticsearch, settings: Settings) -> Target:
    """Where to send, as the settings have it; the index is made where there is none.

    :raises IngestError: it cannot be
    """
    return target_at(client, settings, settings.index, manage.prepare(client, settings.index, settings.shape))


def target_at(client: elasticsearch.Elasticsearch, settings: Settings, alias: str, index: str) -> Target:
    """Where to send, as the settings have it, to an index that is there.

    :param alias: that stands for it, and is what requests name
    """
    return Target(client, alias, index, settings.chunk_size, settings.chunk_bytes, settings.retry_for)


def state_of(target: Target) -> State:
    """What is known of the index that is sent to.

    :raises IngestError: Elasticsearch does not answer
    """
    state = State(target.client, target.alias, target.index, target.retry_for)
    state.create()
    return state


def load(remote: Remote, job: Job) -> Tally:
    """Make the index equal to one repository, and note in its state what was reached.

    :raises IngestError: the repository cannot be read, or Elasticsearch not be written
    """
    path = place(remote, job.settings)
    if path.is_file():
        return _load_log(path, remote, job)
    way = transfer(remote, job)
    with mirror.held(path, wait=job.settings.wait):
        may_help = mirror.is_renewable(path, way)
        first = replace(job, list_damage=not may_help)
        tally = mirror.mending(path, way, lambda: _load(path, remote, first))
        if not (may_help and tally.damage):
            return tally
        mirror.renew(path, way)
        # What was read in parts is read, and counted, again.
        tally.indexed -= tally.incomplete + tally.cut
        tally.incomplete = tally.cut = tally.unreadable = tally.rejected = 0
        tally.add(_load(path, remote, replace(job, list_again=True)))
        return tally


def has_news(remote: Remote, job: Job, known: Snapshot) -> bool:
    """Whether a repository has other branches or tags than when it was looked at last; nothing is fetched.

    :param known: what it had; of it, only ``refs`` and ``shallow`` count
    :raises IngestError: the repository cannot be read, or another run holds it
    """
    path = place(remote, job.settings)
    with mirror.held(path, wait=job.settings.wait):
        if path.exists() and shallow(path) != known.shallow:
            return True
        return fingerprint(mirror.offered(transfer(remote, job))) != known.refs


def _load(path: Path, remote: Remote, job: Job) -> Tally:
    with job.state.attempt(remote.origin, str(path)) as attempt:
        goal = updated(path, remote, job)
        reached = attempt.entry.reached
        todo = plan(goal, job.contents(goal.origin), reached if attempt.sure else None)
        return carry_out(todo, goal, remote, job, attempt)


def transfer(remote: Remote, job: Job) -> mirror.Transfer:
    """How the mirror of a repository gets what is new."""
    settings = job.settings
    return mirror.Transfer(remote, settings.remote_timeout, ours=settings.gitpath is None, show=job.show)


def place(remote: Remote, settings: Settings) -> Path:
    """Where the mirror of a repository, or the saved log, lies."""
    return (settings.gitpath or mirror.folder(settings.home, remote)).absolute()


def updated(path: Path, remote: Remote, job: Job) -> Goal:
    """Bring a mirror, which is held, up to date, and look at it.

    :raises IngestError: the repository cannot be read
    """
    settings = job.settings
    mirror.update(path, transfer(remote, job))
    selection = Selection(settings.branches, settings.since, settings.until)
    return Goal(path, remote.origin, snapshot(path, selection), selection, settings.project)


def carry_out(todo: Plan, goal: Goal, remote: Remote, job: Job, attempt: Attempt) -> Tally:
    """Do what was planned; where somebody came between, look at everything anew, the repository too; note the end.

    :raises IngestError: the repository cannot be read, or Elasticsearch not be written
    """
    tally = Tally()
    for _ in range(_ROUNDS):
        done, reached = _carried_out(todo, goal, job, attempt)
        tally.add(done)
        if reached is not None and attempt.finish(reached, SOME_LACKING if done.lacking else 0):
            return tally
        attempt.begin_again()
        goal = updated(goal.mirror, remote, job)
        todo = plan(goal, job.contents(goal.origin), None)
    raise RepositoryBusyError(
        f"Other runs keep changing what {job.target.alias} holds of {goal.origin}", "let one host at a time load it"
    )


def replay(path: Path, target: Target, rejects: Rejects, *, show: bool) -> Tally:
    """Send the documents of a file of rejects again; what is rejected again goes into a new file.

    :raises IngestError: the file is none, or Elasticsearch cannot be written
    """
    with Progress(path.name, None, show=show) as progress:
        actions = (action for _, action in read(path))
        Ledger(progress, rejects).settle(bulk.send(target, actions, progress.retried))
        return progress.tally


def _carried_out(todo: Plan, goal: Goal, job: Job, attempt: Attempt) -> tuple[Tally, Reached | None]:
    """Do what was planned; give what was done, and what was reached, if the index then holds as much as it should."""
    known = attempt.entry.reached
    count = len(todo.write) + len(todo.delete)
    if count:
        attempt.touch()
    with Progress(goal.origin, count, show=job.show, viewer=job.viewer) as progress:
        listed = frozenset[str]() if known is None or job.list_again else known.listed
        ledger = Ledger(progress, job.rejects, listed, list_damage=job.list_damage)
        with _results(goal, todo, job) as results:
            actions = chain(ledger.readable(results, goal.origin), map(Action, todo.delete))
            ledger.settle(bulk.send(job.target, actions, progress.retried))
    done = progress.tally
    held = job.contents(goal.origin).count() if count else todo.unchanged
    least = todo.unchanged + done.indexed
    # A document that is rejected now may have been there before, with other refs.
    if not least <= held <= least + done.missing:
        return done, None
    gitpath = None if job.settings.gitpath is None else str(goal.mirror)
    return done, Reached(goal.snapshot, goal.selection, goal.project, held, ledger.lacking, ledger.incomplete, gitpath)


def as_before(settings: Settings, reached: Reached | None) -> Settings:
    """Settings that select of a repository what was selected when it was loaded."""
    if reached is None:
        return settings
    gitpath = None if reached.gitpath is None else Path(reached.gitpath)
    return replace(
        settings,
        branches=reached.selection.branches,
        since=reached.selection.since,
        until=reached.selection.until,
        project=reached.project,
        gitpath=gitpath if gitpath is not None and gitpath.exists() else None,
    )


@contextmanager
def _results(goal: Goal, todo: Plan, job: Job) -> Iterator[Iterable[Action | reader.Unreadable]]:
    """What is to be written, as it is read: from the items that are kept, or by git."""
    if not len(todo.write):
        yield ()
        return
    with (
        grounds.opened(goal.mirror, job.settings.items_bytes) as store,
        closing(read_commits(goal, todo.write, job.settings.workers, store, job.seats)) as results,
    ):
        yield results


def read_commits(
    goal: Goal, hashes: Hashes, workers: int, store: Store | None = None, seats: Seats | None = None
) -> reader.Results[Action]:
    """Commits of a goal as they are indexed, see `ingest.git.reader.read`; without a store, git is asked for all."""
    return reader.read(
        reader.Source(goal.mirror, goal.origin, goal.project),
        hashes,
        partial(action, project=goal.project),
        workers=workers,
        seats=seats,
        store=store,
        decorations=goal.snapshot.decorations,
    )


def _load_log(path: Path, remote: Remote, job: Job) -> Tally:
    """Index what a saved log holds; nothing is deleted, since it need not be the whole history."""
    project = job.settings.project
    with (
        job.state.attempt(remote.origin, str(path)) as attempt,
        Progress(remote.origin, None, show=job.show, viewer=job.viewer) as progress,
    ):
        attempt.touch()
        ledger = Ledger(progress, job.rejects)
        items = perceval.read_log(path, remote.origin, project)
        actions: Iterator[Action] = (action(item, project=project) for item in items)
        ledger.settle(bulk.send(job.target, actions, progress.retried))
        held = job.contents(remote.origin).count()
        outcome = Reached(None, Selection(), project, held, ledger.lacking, ledger.incomplete, str(path))
        attempt.finish(outcome, SOME_LACKING if progress.tally.lacking else 0)
        return progress.tally
