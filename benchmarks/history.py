"""Histories of any length for ``git fast-import``: made up, the same on every run, shaped like real ones.

About 1,500 living files of 20 to 300 lines in 60 folders. A commit changes a few lines in 1 to 5 of them, most of them
in one folder; now and then it adds, deletes or moves one. A fifth of the commits are merges of topic branches of 1 to
10 commits, most of them soon after the branch began, some of them thousands of commits later.
"""

import heapq
import itertools
import os
import random
import subprocess
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

T = TypeVar("T")

TOPICS = 0.6
"""Share of the steps on main that begin a topic branch; with the lengths below, a fifth of all commits are merges."""
TOPIC_LENGTHS = (1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 10)
MERGED_WITHIN = (0, 0, 0, 0, 1, 2, 3, 4, 5, 8, 10, 12, 15, 20, 30, 50, 100, 200, 500, 1000, 5000)
"""Commits made elsewhere between a topic branch and its merge, at most. Git must be asked for renames on both sides in
about 1 of 22 of these merges; in git's own history it is 1 of 35.
"""
FILES_CHANGED = (1, 1, 1, 1, 2, 2, 2, 3, 4, 5)
ELSEWHERE = 0.3
"""Share of changed files that lie in another folder than the one before."""
CHURN = 0.05
"""Share of changes that add or delete a file, whichever brings its folder nearer to FILES_PER_FOLDER."""
MOVED = 0.02
FILES_PER_FOLDER = 25
LINES = (20, 300)
AUTHORS = 400
PREPARED = 16
"""Versions of a file written one after the other: git fast-import finds deltas between neighbours only."""

TOPS = (b"core", b"docs", b"drivers", b"include", b"lib", b"net", b"plugins", b"server", b"tests", b"tools")
BELOW = (b"base", b"cache", b"config", b"format", b"index", b"util")
FOLDERS = (TOPS, BELOW)
"""Names of folders, and of those in each of them."""
WORDS = (
    b"add allow always avoid branch buffer cache callback check clean commit config copy count default delete "
    b"document error fetch file filter fix handle header index input keep length limit line list load lock make "
    b"memory merge mode move name never node object open option output pack parse path pointer print process push "
    b"queue read refactor reference remove rename reset result return search send signal size skip sort split start "
    b"state status stop string table test thread time token tree update user value version wait warn write"
).split()
_ZONES = (b"+0000", b"+0100", b"+0200", b"+0530", b"-0500", b"-0700", b"-0800", b"+0900")


def create(path: Path, commits: int) -> None:
    """Make a bare repository of so many commits, at least 1, all of which its only branch, main, reaches.

    :raises subprocess.CalledProcessError: git failed
    """
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", "--", str(path)], check=True)
    command = ["git", f"--git-dir={path}", "fast-import", "--quiet"]
    # Without this, glibc gives the memory of each zlib stream back to the system: twice the time.
    variables = os.environ | {"MALLOC_TOP_PAD_": str(64 << 20)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=1 << 20, env=variables) as process:
        assert process.stdin is not None
        # Git itself says why it ended early; its exit code is looked at below.
        with suppress(BrokenPipeError):
            write(process.stdin, commits)
            process.stdin.flush()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)


def write(out: IO[bytes], commits: int) -> None:
    """Write a history for ``git fast-import``, holding of it no more than the files and the unmerged branches."""
    history = _History(out, random.Random(1))
    history.begin()
    unmerged: list[tuple[int, int, _Topic]] = []
    while (left := commits - history.commits) > 0:
        if unmerged and (unmerged[0][0] <= history.commits or len(unmerged) == left):
            history.merge(heapq.heappop(unmerged)[2])
        elif history.random() < TOPICS and left > len(unmerged) + 1:
            topic = history.branch(min(history.pick(TOPIC_LENGTHS), left - len(unmerged) - 1))
            due = history.commits + int(history.random() * (history.pick(MERGED_WITHIN) + 1))
            heapq.heappush(unmerged, (due, topic.tip, topic))
        else:
            history.commit()
    history.end()


@dataclass(eq=False, slots=True)
class _File:
    """A file as it stands on main.

    :ivar path: None where main has it no longer, or not yet
    :ivar mark: of its content, for git fast-import
    :ivar lines: the newest content that was written
    :ivar prepared: marks of the contents that were written and not used yet
    """

    lines: list[bytes]
    path: bytes | None = None
    mark: int = 0
    prepared: deque[int] = field(default_factory=deque)


class _Version(NamedTuple):
    """What a branch makes of a file; without a path, it is not there."""

    path: bytes | None
    mark: int


_Versions = dict[_File, _Version]


class _Topic(NamedTuple):
    """A branch: the mark of its last commit, what it found of the files that it changed, and what it made of them."""

    tip: int
    found: _Versions
    made: _Versions


class _History:
    """Writes commits one by one; knows main's files and nothing of the past."""

    def __init__(self, out: IO[bytes], source: random.Random) -> None:
        self.commits = 0
        self.random = source.random
        self._write = out.write
        self._marks = itertools.count(1)
        self._names = itertools.count(1)
        self._clock = 1_100_000_000
        self._tip = 0
        self._lines = [b"    " * int(self.random() * 4) + self._words(3, 7) + b"\n" for _ in range(4096)]
        self._subjects = [self._words(4, 8).capitalize() for _ in range(4096)]
        self._paragraphs = [b"\n".join(self._words(8, 11) for _ in range(3)) + b"\n\n" for _ in range(1024)]
        self._people = [self._person(number) for number in range(AUTHORS)]
        self._folders: dict[bytes, list[_File]] = {b"%s/%s/" % names: [] for names in itertools.product(*FOLDERS)}
        self._folder_names = tuple(self._folders)

    def pick(self, choices: Sequence[T]) -> T:
        """One of them; a third of the time that random.choice takes."""
        return choices[int(self.random() * len(choices))]

    def begin(self) -> None:
        """The first commit, which fills every folder."""
        added: _Versions = {}
        for folder in self._folder_names * FILES_PER_FOLDER:
            added |= self._addition(folder)
        self._commit_to_main(added, self.pick(self._subjects))

    def commit(self) -> None:
        """A commit on main."""
        self._commit_to_main(self._changes({}), self.pick(self._subjects))

    def branch(self, length: int) -> _Topic:
        """Write a branch of so many commits that begins at main's tip."""
        parent = b"from :%d\n" % self._tip
        made: _Versions = {}
        for _ in range(length):
            changes = self._changes(made)
            tip = self._commit(b"topic", self.pick(self._subjects), parent, self._lines_of(changes, made))
            made |= changes
            parent = b""
        return _Topic(tip, {file: _Version(file.path, file.mark) for file in made}, made)

    def merge(self, topic: _Topic) -> None:
        """Merge a branch into main. Files that both have changed get a content that neither has."""
        merged: _Versions = {}
        for file, (path, mark) in topic.made.items():
            found = topic.found[file]
            if found.path is not None and file.path is None:
                continue
            now = file.path if path == found.path else path
            both = now is not None and file.mark != found.mark
            merged[file] = _Version(now, self._next(file) if both else mark)
        subject = b"Merge branch 'topic-%d'" % topic.tip
        self._commit_to_main(merged, subject, b"merge :%d\n" % topic.tip)

    def end(self) -> None:
        """Remove the branch that every topic was written on."""
        self._write(b"reset refs/heads/topic\nfrom %040d\n\n" % 0)

    def _commit_to_main(self, changes: _Versions, subject: bytes, parent: bytes = b"") -> None:
        self._tip = self._commit(b"main", subject, parent, self._lines_of(changes, {}))
        for file, version in changes.items():
            if version.path != file.path:
                if file.path is not None:
                    self._folders[_folder(file.path)].remove(file)
                if version.path is not None:
                    self._folders[_folder(version.path)].append(file)
            file.path, file.mark = version

    def _commit(self, branch: bytes, subject: bytes, parent: bytes, files: bytes) -> int:
        self.commits += 1
        self._clock += 1 + int(self.random() * 600)
        author = self._people[int(self.random() ** 3 * AUTHORS)]
        committer = author if self.random() < 0.5 else self._people[int(self.random() ** 6 * AUTHORS)]
        paragraphs = b"".join([self.pick(self._paragraphs) for _ in range(int(self.random() * 3))])
        reviewed = b"Reviewed-by: %s\n" % self.pick(self._people) if self.random() < 0.3 else b""
        message = b"%s\n\n%sSigned-off-by: %s\n%s" % (subject, paragraphs, author, reviewed)
        mark, zone = next(self._marks), self.pick(_ZONES)
        self._write(
            b"commit refs/heads/%s\nmark :%d\nauthor %s %d %s\ncommitter %s %d %s\ndata %d\n%s\n%s%s\n"
            % (branch, mark, author, self._clock - int(self.random() ** 4 * 1_000_000), zone,
               committer, self._clock, zone, len(message), message, parent, files)
        )  # fmt: skip
        return mark

    def _lines_of(self, changes: _Versions, made: _Versions) -> bytes:
        """A commit's changes for git fast-import, on a branch that has made this of the files before."""
        lines = []
        for file, (path, mark) in changes.items():
            before = made[file].path if file in made else file.path
            if before is not None and before != path:
                lines.append(b"D %s\n" % before)
            if path is not None:
                lines.append(b"M 100644 :%d %s\n" % (mark, path))
        return b"".join(lines)

    def _changes(self, made: _Versions) -> _Versions:
        """What the next commit changes, on a branch that has made this of the files before."""
        changes: _Versions = {}
        for _ in range(self.pick(FILES_CHANGED)):
            if not changes or self.random() < ELSEWHERE:
                folder = self._folder_names[int(self.random() ** 2 * len(self._folder_names))]
            files = self._folders[folder]
            drawn = self.random()
            if not files or (drawn < CHURN and len(files) < self.random() * 2 * FILES_PER_FOLDER):
                changes |= self._addition(folder)
                continue
            file = files[int(self.random() ** 2 * len(files))]
            path = made[file].path if file in made else file.path
            if path is None or file in changes:
                continue
            if drawn < CHURN:
                changes[file] = _Version(None, 0)
                continue
            if drawn < CHURN + MOVED:
                path = self._new_path(self.pick(self._folder_names))
            changes[file] = _Version(path, self._next(file))
        return changes or self._addition(self.pick(self._folder_names))

    def _addition(self, folder: bytes) -> _Versions:
        """A new file."""
        fewest, most = LINES
        length = int(fewest * (most / fewest) ** self.random())
        file = _File([self.pick(self._lines) for _ in range(length)])
        return {file: _Version(self._new_path(folder), self._blob(file))}

    def _new_path(self, folder: bytes) -> bytes:
        return b"%s%s_%d.c" % (folder, self.pick(WORDS), next(self._names))

    def _next(self, file: _File) -> int:
        """The mark of the file's next content."""
        if not file.prepared:
            for _ in range(PREPARED):
                self._edit(file.lines)
                file.prepared.append(self._blob(file))
        return file.prepared.popleft()

    def _edit(self, lines: list[bytes]) -> None:
        fewest, most = LINES
        for _ in range(1 + int(self.random() ** 2 * 8)):
            at = int(self.random() * len(lines))
            drawn = self.random()
            if drawn < 0.3 and len(lines) < most:
                lines.insert(at, self.pick(self._lines))
            elif drawn > 0.7 and len(lines) > fewest:
                del lines[at]
            else:
                lines[at] = self.pick(self._lines)

    def _blob(self, file: _File) -> int:
        mark, content = next(self._marks), b"".join(file.lines)
        self._write(b"blob\nmark :%d\ndata %d\n%s\n" % (mark, len(content), content))
        return mark

    def _words(self, fewest: int, most: int) -> bytes:
        return b" ".join(self.pick(WORDS) for _ in range(fewest + int(self.random() * (most - fewest + 1))))

    def _person(self, number: int) -> bytes:
        first, last, company = self.pick(WORDS), self.pick(WORDS), self.pick(WORDS)
        return b"%s %s <%s.%d@%s.example>" % (first.title(), last.title(), last, number, company)


def _folder(path: bytes) -> bytes:
    return path[: path.rindex(b"/") + 1]
