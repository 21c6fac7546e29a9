"""What is to be done so that an index equals a repository: which commits to write, which documents to delete.

Where the state of the index is known, git tells the difference between the refs then and now. Where it is not, all
documents are compared with all commits, in what may change of them while their hashes stay.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
from perceval.backend import uuid

from ingest.errors import RepositoryRefusedError
from ingest.git.history import Hashes, History, Selection, Signed
from ingest.git.perceval import refs
from ingest.git.snapshot import Snapshot, renamed
from ingest.index.contents import Contents, anew
from ingest.index.conversion import full_names, person
from ingest.index.state import Reached
from ingest.text import repaired


@dataclass(frozen=True)
class Goal:
    """The repository that an index is to equal.

    :ivar mirror: its mirror, up to date and held against other runs
    :ivar origin: its URL without credentials
    :ivar project: the label of its documents
    """

    mirror: Path
    origin: str
    snapshot: Snapshot
    selection: Selection
    project: str | None

    def history(self) -> History:
        """Every commit that is selected."""
        return History(self.mirror, self.selection, self.snapshot.tips)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    :ivar write: hashes of the commits to read and index, none twice
    :ivar delete: ``_id`` of documents
    :ivar unchanged: documents that stay as they are
    """

    write: Hashes
    delete: Set[str]
    unchanged: int


class _Several:
    """Some hashes and then others."""

    def __init__(self, *parts: Hashes) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))


class _Chosen:
    """Those hashes of a history that are in a set of digests, in its order."""

    def __init__(self, history: History, chosen: Set[bytes]) -> None:
        self._history = history
        self._chosen = chosen

    def __iter__(self) -> Iterator[str]:
        return (commit for commit in self._history if bytes.fromhex(commit) in self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)


def plan(goal: Goal, contents: Contents, reached: Reached | None) -> Plan:
    """Decide what is to be done.

    :param reached: what the index is known to equal; None: nothing is known
    :raises RepositoryRefusedError: git cannot read the mirror
    :raises IngestError: Elasticsearch does not answer
    """
    count = contents.count()
    if count == 0:
        return Plan(goal.history(), frozenset(), 0)
    difference = None
    if reached is not None and reached.commits == count:
        difference = _difference(goal, contents, reached)
    if difference is not None:
        return difference
    return anew(lambda: _comparison(goal, contents))


def _difference(goal: Goal, contents: Contents, reached: Reached) -> Plan | None:
    """What has changed since; None where that cannot be told."""
    before, now = reached.snapshot, goal.snapshot
    if before is None or reached.lacking is None or reached.incomplete is None or before.shallow != now.shallow:
        return None
    if (reached.selection, reached.project) != (goal.selection, goal.project):
        return None
    gone, come = sorted(set(before.tips) - set(now.tips)), sorted(set(now.tips) - set(before.tips))
    try:
        vanished = set(History(goal.mirror, goal.selection, gone, now.tips))
        added = History(goal.mirror, goal.selection, come, before.tips)
        count = len(added)
    except RepositoryRefusedError:
        # What the old tips reach is no longer there, or the mirror is another.
        return None
    changed = _redecorated(before.decorations, now.decorations)
    if before.mailmap != now.mailmap:
        others = renamed(goal.mirror, History(goal.mirror, goal.selection, before.tips), before.mailmap, now.mailmap)
        if others is None:
            return None
        changed |= others
    ids = {uuid(goal.origin, commit): commit for commit in changed - vanished}
    again = {ids[each] for each in contents.holds(ids.keys())}
    again |= (reached.lacking | reached.incomplete) - vanished
    deleted = {uuid(goal.origin, commit) for commit in vanished - reached.lacking}
    unchanged = reached.commits - len(deleted) - len(again - reached.lacking)
    write = _Several(sorted(again), added) if count else sorted(again)
    return Plan(write, deleted, unchanged)


def _redecorated(before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    return {commit for commit in before.keys() | now.keys() if before.get(commit) != now.get(commit)}


def _comparison(goal: Goal, contents: Contents) -> Plan:
    """Compare every document with its commit; memory grows by a digest of 16 bytes for each."""
    history = goal.history()
    missing = {_of_commit(commit, goal) for commit in history.signed()}
    total = len(missing)
    others, delete = set(), set()
    for identifier, document in contents.documents():
        if identifier != uuid(goal.origin, document["hash"]):
            delete.add(identifier)
            continue
        digest = _of_document(document)
        if digest in missing and "incomplete" not in document:
            missing.discard(digest)
        else:
            others.add(bytes.fromhex(document["hash"]))
    write = {bytes.fromhex(commit.hash) for commit in history.signed() if _of_commit(commit, goal) in missing}
    delete |= {uuid(goal.origin, commit.hex()) for commit in others - write}
    return Plan(_Chosen(history, write), delete, total - len(write))


def _of_commit(commit: Signed, goal: Goal) -> bytes:
    decoration = goal.snapshot.decorations.get(commit.hash, "")
    return _digest(
        commit.hash,
        commit.parents,
        repaired(full_names(refs(decoration))),
        person(repaired(commit.author)),
        person(repaired(commit.committer)),
        goal.project,
    )


def _of_document(document: Mapping[str, Any]) -> bytes:
    # Git prints neither header of a signature that it cannot parse, but takes its parts to be empty.
    nobody = person("<>")
    return _digest(
        document["hash"],
        document["parents"],
        document["refs"],
        document.get("author", nobody),
        document.get("committer", nobody),
        document.get("project"),
    )


def _digest(commit: str, parents: Iterable[str], names: list[str], author: Any, committer: Any, label: Any) -> bytes:
    parts = (commit, list(parents), names, author, committer, label)
    return blake2b(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
