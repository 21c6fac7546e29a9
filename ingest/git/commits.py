"""Perceval's items of chosen commits, read in this process, whatever state the repository is in."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from perceval.errors import ParseError

from ingest.errors import RepositoryRefusedError, RepositoryUnavailableError
from ingest.git.batch import DamagedError, Kept, unpacked
from ingest.git.command import GitFailedError, run
from ingest.git.damage import unreadable_diffs
from ingest.git.log import (
    BAD_TIMESTAMP,
    FIRST_PARENT,
    NAMES,
    RAW_DATES,
    WHOLE,
    WITHOUT_DIFF,
    combined,
    log,
    spliced,
    with_git_dates,
)
from ingest.git.merges import Unsettled, rename_limit, settled
from ingest.git.perceval import Git, refs

# After so many diffs that cannot be read, missing objects are looked for, rather than met one by one.
_FAILURES_BEFORE_SEARCH: Final = 3
_NO_PROBLEMS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """What is read.

    :param path: the bare mirror
    :param origin: the repository's URL, Perceval's ``origin``; the uuid of a commit is made of it
    :param tag: Perceval's ``tag``, None for ``origin``
    """

    path: Path
    origin: str
    tag: str | None = None


class Reading(NamedTuple):
    """A commit that was read.

    :param item: Perceval's item, metadata included
    :param problem: None, or why its diff is missing (``item["data"]["files"]`` is empty then)
    """

    item: dict[str, Any]
    problem: str | None


class Unreadable(NamedTuple):
    """A commit that could not be read at all."""

    hash: str
    reason: str


class Deferred(NamedTuple):
    """Merges that are better read apart, each for itself taking git long."""

    hashes: tuple[str, ...]


def read_kept(
    source: Source, batches: Iterable[Kept], decorations: Mapping[str, str], left: dict[str, None], damaged: list[int]
) -> Iterator[Reading]:
    """Read commits from what was kept of them, each taken out of ``left``.

    :param decorations: of those commits that have one, see `ingest.git.decorations`
    :param damaged: takes the numbers of the batches that do not give all that they should
    """
    backend = Git(source.origin, str(source.path), tag=source.tag)
    for batch in batches:
        wanted = set(batch.hashes)
        with suppress(DamagedError):
            for data in unpacked(batch.data):
                commit = data["commit"]
                if commit in wanted:
                    wanted.remove(commit)
                    del left[commit]
                    data["refs"] = refs(decorations.get(commit, ""))
                    yield Reading(backend.item(data), None)
                if not wanted:
                    break
        if wanted:
            damaged.append(batch.id)


def read_commits(source: Source, hashes: Iterable[str]) -> Iterator[Reading | Unreadable | Deferred]:
    """Read commits, best contiguous ones of a history, some thousands at once.

    Each hash is given back once: read, unreadable, or deferred to :func:`read_merges`. The order is that of
    ``hashes``, but for deferred ones, which come first, and those with which there is trouble.

    :raises RepositoryRefusedError: when the mirror is none
    :raises RepositoryUnavailableError: when git is ended by a signal, again and again
    """
    left = dict.fromkeys(hashes)
    try:
        merges = combined(source.path, left)
        if merges.unsettled:
            deferred = tuple(commit for commit in left if commit in merges.unsettled)
            for commit in deferred:
                del left[commit]
            yield Deferred(deferred)
        if left:
            with closing(log(source.path, FIRST_PARENT, left)) as lines:
                yield from _readings(source, spliced(lines, merges.lines), left)
    except (GitFailedError, ParseError):
        yield from _salvage(source, tuple(left))
    else:
        yield from _missing(left)


def read_merges(source: Source, hashes: Iterable[str]) -> Iterator[Reading | Unreadable]:
    """Read deferred commits; gives back and raises what :func:`read_commits` does, but defers none."""
    left = dict.fromkeys(hashes)
    yield from _readings_of_settled(source, left)
    if left and (yield from _attempt(source, left)) is not None:
        yield from _salvage(source, tuple(left))
    else:
        yield from _missing(left)


def _readings_of_settled(source: Source, left: dict[str, None]) -> Iterator[Reading]:
    """Those merges whose lines can be told without Perceval's own command, each taken out of ``left``."""
    try:
        lines = _settled_lines(source.path, left)
        if lines:
            with closing(log(source.path, FIRST_PARENT, lines)) as text:
                yield from _readings(source, spliced(text, lines), left)
    except (GitFailedError, ParseError):
        # The others, and what is wrong with them, are for the ordinary way.
        return


def _settled_lines(mirror: Path, hashes: Iterable[str]) -> dict[str, list[str]]:
    found = combined(mirror, hashes)
    limit = rename_limit(mirror)
    lines = {}
    for merge in found.unsettled:
        with suppress(Unsettled):
            lines[merge] = settled(mirror, merge, found.parents[merge], found.lines[merge], limit)
    return lines


def _readings(
    source: Source, lines: Iterable[str], left: dict[str, None], problems: Mapping[str, str] = _NO_PROBLEMS
) -> Iterator[Reading]:
    """What can be read from a log, each taken out of ``left``; what nobody asked for is git's ``HEAD``."""
    for item in Git(source.origin, str(source.path), tag=source.tag).items(lines):
        commit = item["data"]["commit"]
        if commit in left:
            del left[commit]
            yield Reading(item, problems.get(commit))


def _missing(hashes: Iterable[str]) -> Iterator[Unreadable]:
    for commit in hashes:
        yield Unreadable(commit, "the commit is missing or damaged")


def _attempt(source: Source, left: dict[str, None], extra: Sequence[str] = ()) -> Generator[Reading, None, str | None]:
    """Read with Perceval's own command until it ends or fails; returns why it failed, if it did.

    :raises RepositoryUnavailableError: when a signal ended git at the only commit it was given
    """
    only = len(left) == 1
    try:
        with closing(log(source.path, (*WHOLE, *extra), left)) as lines:
            yield from _readings(source, lines if RAW_DATES[0] not in extra else with_git_dates(lines), left)
    except GitFailedError as error:
        if only:
            _raise_if_killed(source, error)
        return error.reason
    except ParseError as error:
        return str(error)
    return None


def _raise_if_killed(source: Source, error: GitFailedError) -> None:
    """Where git was killed, it has not said anything about the repository.

    :raises RepositoryUnavailableError: then
    """
    if error.status < 0:
        raise RepositoryUnavailableError(
            f"Reading commits of {source.origin} failed twice: {error}",
            "It goes on where this run stopped; if this happens again, see whether memory is short",
        ) from error


def _salvage(source: Source, hashes: Sequence[str]) -> Iterator[Reading | Unreadable]:
    """Read commits among which git fails: each that can be read whole, the others as far as they go."""
    existing, extra = _existing(source, hashes)
    left = dict.fromkeys(commit for commit in hashes if commit in existing)
    yield from _missing(commit for commit in hashes if commit not in left)
    failures = 0
    while left and (yield from _attempt(source, left, extra)) is not None:
        # Git failed at the first commit that it has not given out, or at the next.
        commit = next(iter(left))
        del left[commit]
        yield from _alone(source, commit, extra)
        failures += 1
        if left and failures % _FAILURES_BEFORE_SEARCH == 0:
            problems = unreadable_diffs(source.path, left)
            for commit in problems:
                del left[commit]
            yield from _without_diff(source, problems, extra)
    yield from _missing(left)


def _existing(source: Source, hashes: Sequence[str]) -> tuple[set[str], Sequence[str]]:
    """Which of these commits exist, and the options that reading them takes.

    None, unless the mailmap of ``HEAD`` cannot be read: then names stay as the commits have them.

    :raises RepositoryRefusedError: when there is no repository
    """
    try:
        list(run(source.path, ("rev-parse", "--git-dir"), ()))
    except GitFailedError as error:
        _raise_if_killed(source, error)
        raise RepositoryRefusedError(
            f"The mirror of {source.origin} at {source.path} can't be read: {error}", "Check that folder"
        ) from error
    existing = _names(source, hashes)
    try:
        list(log(source.path, NAMES, existing))
    except GitFailedError as error:
        _raise_if_killed(source, error)
        return existing, ("--no-mailmap",)
    return existing, ()


def _names(source: Source, hashes: Sequence[str]) -> set[str]:
    """Which of these commits exist; git passes over missing ones, but fails at damaged ones."""
    try:
        return {line.rstrip("\n") for line in log(source.path, (*NAMES, "--no-mailmap"), hashes)}
    except GitFailedError as error:
        _raise_if_killed(source, error)
        if len(hashes) == 1:
            return set()
    middle = len(hashes) // 2
    return _names(source, hashes[:middle]) | _names(source, hashes[middle:])


def _alone(source: Source, commit: str, extra: Sequence[str]) -> Iterator[Reading | Unreadable]:
    left = dict.fromkeys([commit])
    reason = yield from _attempt(source, left, extra)
    if reason is not None and reason.startswith(BAD_TIMESTAMP):
        reason = yield from _attempt(source, left, (*extra, *RAW_DATES))
    if left and reason is not None:
        yield from _without_diff(source, {commit: f"unreadable diff: {reason}"}, extra)
    else:
        yield from _missing(left)


def _without_diff(source: Source, problems: Mapping[str, str], extra: Sequence[str]) -> Iterator[Reading | Unreadable]:
    left = dict.fromkeys(problems)
    try:
        with closing(log(source.path, (*WITHOUT_DIFF, *extra), left)) as lines:
            yield from _readings(source, lines, left, problems)
    except (GitFailedError, ParseError) as error:
        if isinstance(error, GitFailedError):
            _raise_if_killed(source, error)
        for commit in left:
            yield Unreadable(commit, str(error))
    else:
        yield from _missing(left)
