"""What became of each commit: counted, shown, and listed where it is lacking."""

from collections.abc import Iterable, Iterator, Set

import orjson

from ingest.errors import ElasticsearchUnavailableError
from ingest.git.reader import Unreadable
from ingest.index.bulk import Outcome
from ingest.index.conversion import FILES_CUT, Action
from ingest.index.rejects import Rejects
from ingest.index.state import MOST_LACKING
from ingest.progress import Progress

_NONE: Set[str] = frozenset()


class Ledger:
    """Keeps the account of one repository.

    :param rejects: where rejected documents, unreadable and incomplete commits are listed
    :param known: hashes of commits that were lacking or incomplete before: they are counted, but not listed again
    :param list_damage: list what git cannot read
    """

    def __init__(
        self, progress: Progress, rejects: Rejects, known: Set[str] = _NONE, *, list_damage: bool = True
    ) -> None:
        self._progress = progress
        self._rejects = rejects
        self._known = known
        self._list_damage = list_damage
        self._lacking: set[str] = set()
        self._incomplete: set[str] = set()

    @property
    def lacking(self) -> frozenset[str] | None:
        """Hashes of the commits that were rejected or unreadable; None: too many to remember."""
        return None if len(self._lacking) > MOST_LACKING else frozenset(self._lacking)

    @property
    def incomplete(self) -> frozenset[str] | None:
        """Hashes of the commits that were indexed without a part; None: too many to remember."""
        return None if len(self._incomplete) > MOST_LACKING else frozenset(self._incomplete)

    def readable(self, results: Iterable[Action | Unreadable], origin: str) -> Iterator[Action]:
        """The documents among what was read.

        :raises RepositoryRefusedError: the list cannot be written
        """
        for result in results:
            if isinstance(result, Action):
                yield result
                continue
            if self._list_damage and result.hash not in self._known:
                self._rejects.add_unreadable(origin, result.hash, result.reason)
            _remember(result.hash, self._lacking)
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
                    self._lacks_a_part(action, action.problem)
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
        _remember(commit, self._lacking)
        self._progress.rejected()

    def _lacks_a_part(self, action: Action, problem: str) -> None:
        document = orjson.loads(action.source)
        is_cut = problem == FILES_CUT
        if document["hash"] not in self._known and (self._list_damage or is_cut):
            self._rejects.add_unreadable(document["origin"], document["hash"], problem)
        _remember(document["hash"], self._incomplete)
        if is_cut:
            self._progress.cut()
        else:
            self._progress.incomplete()


def _remember(commit: str, among: set[str]) -> None:
    if len(among) <= MOST_LACKING:
        among.add(commit)
