"""What became of each commit: counted, shown, and listed where it is lacking."""

from collections.abc import Iterable, Iterator, Set

import orjson

from ingest.errors import ElasticsearchUnavailableError
from ingest.git.reader import Unreadable
from ingest.index.bulk import Outcome
from ingest.index.conversion import Action
from ingest.index.rejects import Rejects
from ingest.index.state import MOST_LACKING
from ingest.progress import Progress

_NONE: Set[str] = frozenset()


class Ledger:
    """Keeps the account of one repository.

    :param rejects: where rejected documents, unreadable and incomplete commits are listed
    :param known: hashes of commits that were lacking before: they are counted, but not listed again
    """

    def __init__(self, progress: Progress, rejects: Rejects, known: Set[str] = _NONE) -> None:
        self._progress = progress
        self._rejects = rejects
        self._known = known
        self._lacking: set[str] = set()

    @property
    def lacking(self) -> frozenset[str] | None:
        """Hashes of the commits that were rejected or unreadable; None: too many to remember."""
        return None if len(self._lacking) > MOST_LACKING else frozenset(self._lacking)

    def readable(self, results: Iterable[Action | Unreadable], origin: str) -> Iterator[Action]:
        """The documents among what was read.

        :raises RepositoryRefusedError: the list cannot be written
        """
        for result in results:
            if isinstance(result, Action):
                yield result
                continue
            if result.hash not in self._known:
                self._rejects.add_unreadable(origin, result.hash, result.reason)
            self._lacks(result.hash)
            self._progress.unreadable()

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Enter what Elasticsearch made of documents and deletions.

        :raises RepositoryRefusedError: the list cannot be written
        :raises ElasticsearchUnavailableError: a deletion was refused
        """
        for outcome in outcomes:
            action = outcome.action
            if outcome.reason is not None:
                self._reject(outcome)
            elif not action.source:
                self._progress.deleted()
            else:
                if action.problem is not None:
                    self._rejects.add_incomplete(action)
                    self._progress.incomplete()
                self._progress.indexed()

    def _reject(self, outcome: Outcome) -> None:
        if not outcome.action.source:
            raise ElasticsearchUnavailableError(
                f"The document {outcome.action.id} cannot be deleted ({outcome.status} {outcome.reason})",
                "find out who else writes to this index",
            )
        commit = orjson.loads(outcome.action.source)["hash"]
        if commit not in self._known:
            self._rejects.add(outcome)
        self._lacks(commit)
        self._progress.rejected()

    def _lacks(self, commit: str) -> None:
        if len(self._lacking) <= MOST_LACKING:
            self._lacking.add(commit)
