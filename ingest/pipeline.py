"""The way of a commit: repository, mirror, history, reader, document, streaming_bulk, tally."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingest.git import history, mirror, reader
from ingest.git.remote import Remote
from ingest.index import bulk, rejects
from ingest.index.bulk import Outcome, Target
from ingest.index.document import action
from ingest.progress import Progress, Tally
from ingest.settings import Settings


@dataclass(frozen=True)
class Source:
    """A history to read.

    :ivar path: the mirror, or a saved git log
    :ivar total: commits in it; None if it is a saved log
    """

    path: Path
    total: int | None


def load(remote: Remote, settings: Settings, target: Target, refused: rejects.Rejects, *, show: bool) -> Tally:
    """Bring the index up to date with one repository.

    :param refused: where rejected documents go
    :param show: let git show its progress on standard error
    :raises IngestError: the repository cannot be read, or Elasticsearch not be written
    """
    with _source(remote, settings, show=show) as source, Progress(remote.origin, source.total) as progress:
        items = reader.read(source.path, remote.origin, project=settings.project, branches=settings.branches)
        actions = map(partial(action, project=settings.project), items)
        outcomes = bulk.send(target, actions, progress.retried)
        return _counted(outcomes, progress, refused)


def replay(path: Path, target: Target, refused: rejects.Rejects) -> Tally:
    """Send the documents of a file of rejects again; what is rejected again goes into a new file.

    :raises IngestError: the file is none, or Elasticsearch cannot be written
    """
    with Progress(path.name, None) as progress:
        actions = (action for _, action in rejects.read(path))
        return _counted(bulk.send(target, actions, progress.retried), progress, refused)


@contextmanager
def _source(remote: Remote, settings: Settings, *, show: bool) -> Iterator[Source]:
    """Give the history, its mirror up to date and held against other runs."""
    path = settings.gitpath or mirror.folder(settings.home, remote)
    if path.is_file():
        yield Source(path, None)
        return
    with mirror.held(path):
        mirror.update(path, remote, show=show)
        yield Source(path, history.count(path, history.tips(path, settings.branches)))


def _counted(outcomes: Iterable[Outcome], progress: Progress, refused: rejects.Rejects) -> Tally:
    for outcome in outcomes:
        if outcome.reason is None:
            progress.indexed()
        else:
            refused.add(outcome)
            progress.rejected()
    return progress.tally
