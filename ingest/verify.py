"""Comparing the whole: every commit, made into its document anew, with what the index holds of it."""

from collections.abc import Callable, Iterator, Set
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from ingest import pipeline
from ingest.convergence import Goal, Plan
from ingest.errors import UsageError
from ingest.git import grounds, mirror, reader
from ingest.git.history import History
from ingest.git.remote import Remote
from ingest.index.contents import Contents, anew
from ingest.index.conversion import Action
from ingest.pipeline import Job
from ingest.progress import Tally

_AT_ONCE = 500
_OF_THEIR_TIME = ("ingested_at", "perceval_version", "backend_version")
"""Fields that tell when, and with what, a document was made."""


@dataclass
class Findings:
    """What differs.

    :ivar write: hashes of commits that are missing, or differ
    :ivar delete: ``_id`` of documents of commits that the repository does not have
    :ivar unreadable: how many commits git could not read
    :ivar equal: how many commits are in the index as they should be
    """

    write: set[str] = field(default_factory=set)
    delete: set[str] = field(default_factory=set)
    unreadable: int = 0
    equal: int = 0

    @property
    def count(self) -> int:
        """How many differences there are."""
        return len(self.write) + len(self.delete) + self.unreadable


def verify(remote: Remote, job: Job, *, repair: bool, say: Callable[[str], None]) -> tuple[Findings, Tally]:
    """Compare what the index holds of a repository with the repository, document for document.

    :param repair: mend what differs
    :param say: is told each difference, in a line
    :return: what differed, and what was done about it
    :raises IngestError: the repository cannot be read, or Elasticsearch not be used
    """
    path = pipeline.place(remote, job.settings)
    if path.is_file():
        raise UsageError(f"{path} is a saved log, which need not be the whole history", "verify its repository")
    with mirror.held(path, wait=job.settings.wait), job.state.attempt(remote.origin, str(path)) as attempt:
        way = pipeline.transfer(remote, job)
        goal = mirror.mending(path, way, lambda: pipeline.updated(path, remote, job))
        history = goal.history()
        findings = _compare(goal, history, job, say)
        if not (repair and findings.count):
            return findings, Tally()
        with grounds.opened(goal.mirror, job.settings.items_bytes) as store:
            # Whatever made them differ, they are to come from git.
            store.discard(findings.write)
        todo = Plan([commit for commit in history if commit in findings.write], findings.delete, findings.equal)
        return findings, pipeline.carry_out(todo, goal, remote, job, attempt)


def _compare(goal: Goal, history: History, job: Job, say: Callable[[str], None]) -> Findings:
    findings, ids = Findings(), set[str]()
    with closing(pipeline.read_commits(goal, history, job.settings.workers)) as results:
        while batch := list(islice(results, _AT_ONCE)):
            made = [each for each in batch if isinstance(each, Action)]
            for unreadable in (each for each in batch if isinstance(each, reader.Unreadable)):
                findings.unreadable += 1
                say(f"unreadable {unreadable.hash}: {unreadable.reason}")
            ids.update(each.id for each in made)
            _enter(findings, made, job.contents(goal.origin).sources([each.id for each in made]), say)
    surplus = anew(lambda: _others(job.contents(goal.origin), ids))
    for commit in surplus.values():
        say(f"surplus {commit}")
    findings.delete.update(surplus)
    return findings


def _others(contents: Contents, ids: Set[str]) -> dict[str, str]:
    """The hashes of documents by ``_id``, but those of these."""
    return {each: document["hash"] for each, document in contents.documents() if each not in ids}


def _enter(
    findings: Findings, made: list[Action], found: dict[str, dict[str, Any]], say: Callable[[str], None]
) -> None:
    for each in made:
        expected = orjson.loads(each.source)
        commit = expected["hash"]
        if each.id not in found:
            findings.write.add(commit)
            say(f"missing {commit}")
        elif fields := list(_differing(expected, found[each.id])):
            findings.write.add(commit)
            say(f"differs {commit}: {', '.join(fields)}")
        else:
            findings.equal += 1


def _differing(expected: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | found.keys()):
        if name not in _OF_THEIR_TIME and not _same(name, expected.get(name), found.get(name)):
            yield name


def _same(name: str, expected: Any, found: Any) -> bool:
    if expected == found or name != "files" or expected is None or found is None or len(expected) != len(found):
        return bool(expected == found)
    return all(
        one | {"indexes": None} == other | {"indexes": None}
        and all(map(_same_hash, one.get("indexes", ()), other.get("indexes", ())))
        for one, other in zip(expected, found, strict=True)
    )


def _same_hash(one: str, other: str) -> bool:
    """Git abbreviates the hashes of files to more digits as a repository grows."""
    shorter, longer = sorted((one.rstrip("."), other.rstrip(".")), key=len)
    return longer.startswith(shorter)
