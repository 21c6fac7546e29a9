"""The way of a commit: repository, mirror, history, reader, document, streaming_bulk, tally."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from ingest.git import grounds, mirror, perceval, reader
from ingest.git.decorations import decorations
from ingest.git.history import History
from ingest.git.remote import Remote
from ingest.index import bulk
from ingest.index.bulk import Outcome, Target
from ingest.index.conversion import Action, action
from ingest.index.rejects import Rejects, read
from ingest.progress import Progress, Tally
from ingest.settings import Settings

Results = Generator[Action | reader.Unreadable, None, None]


def load(remote: Remote, settings: Settings, target: Target, rejects: Rejects, *, show: bool) -> Tally:
    """Bring the index up to date with one repository.

    :param rejects: where rejected documents and unreadable commits are listed
    :param show: let git show its progress on standard error
    :raises IngestError: the repository cannot be read, or Elasticsearch not be written
    """
    with (
        _results(remote, settings, show=show) as (results, total),
        Progress(remote.origin, total) as progress,
        closing(results),
    ):
        actions = _readable(results, remote, progress, rejects)
        outcomes = bulk.send(target, actions, progress.retried)
        return _counted(outcomes, progress, rejects)


def replay(path: Path, target: Target, rejects: Rejects) -> Tally:
    """Send the documents of a file of rejects again; what is rejected again goes into a new file.

    :raises IngestError: the file is none, or Elasticsearch cannot be written
    """
    with Progress(path.name, None) as progress:
        actions = (action for _, action in read(path))
        return _counted(bulk.send(target, actions, progress.retried), progress, rejects)


@contextmanager
def _results(remote: Remote, settings: Settings, *, show: bool) -> Iterator[tuple[Results, int | None]]:
    """What is read of a repository, its mirror up to date and held against other runs, and how many commits it has.

    A saved log has no mirror, and who knows how many commits.
    """
    path = settings.gitpath or mirror.folder(settings.home, remote)
    render = partial(action, project=settings.project)
    if path.is_file():
        items = perceval.read_log(path, remote.origin, settings.project)
        yield (render(item) for item in items), None
        return
    with mirror.held(path):
        mirror.update(path, remote, show=show)
        history = History(path, settings.branches)
        source = reader.Source(path, remote.origin, settings.project)
        with grounds.opened(path, settings.items_bytes) as store:
            results = reader.read(
                source, history, render, workers=settings.workers, store=store, decorations=decorations(path)
            )
            yield results, len(history)


def _readable(results: Results, remote: Remote, progress: Progress, rejects: Rejects) -> Iterator[Action]:
    """The documents among the results; commits that could not be read are listed."""
    for result in results:
        if isinstance(result, Action):
            yield result
        else:
            rejects.add_unreadable(remote.origin, result.hash, result.reason)
            progress.unreadable()


def _counted(outcomes: Iterable[Outcome], progress: Progress, rejects: Rejects) -> Tally:
    for outcome in outcomes:
        if outcome.reason is not None:
            rejects.add(outcome)
            progress.rejected()
            continue
        if outcome.action.problem is not None:
            rejects.add_incomplete(outcome.action)
            progress.incomplete()
        progress.indexed()
    return progress.tally
