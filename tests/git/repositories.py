"""Builders of git repositories with histories that are hard to read."""

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = "100644"
EXECUTABLE: Final = "100755"
LINK: Final = "120000"
SUBMODULE: Final = "160000"

ENVIRONMENT: Final = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "LC_ALL": "C",
}


class Entry(NamedTuple):
    """What stands at a path: its mode, and its content (a submodule's is the end of a commit's hash)."""

    mode: str
    content: bytes


Tree = Mapping[str, Entry | bytes]
"""Paths and what stands there; bytes are an ordinary file's content."""


@dataclass
class History:
    """A history in the making, written as a stream for ``git fast-import``.

    Commits are numbered from 1 in the order in which they are made. Those without children get a branch each.
    """

    hash_digits: int = 40
    _stream: list[bytes] = field(default_factory=list)
    _tips: set[int] = field(default_factory=set)
    _count: int = 0

    def commit(
        self,
        tree: Tree,
        parents: Sequence[int] = (),
        *,
        message: bytes | None = None,
        author: bytes = b"A U Thor <author@example.org>",
        date: bytes | None = None,
    ) -> int:
        """Add a commit of this whole tree; returns its number."""
        self._count += 1
        number = self._count
        when = date or b"%d +0200" % (1_600_000_000 + number)
        text = b"Commit %d\n" % number if message is None else message
        if not parents:
            self._stream.append(b"reset refs/heads/build\n\n")
        self._stream.append(b"commit refs/heads/build\nmark :%d\n" % number)
        self._stream.append(b"author %s %s\ncommitter %s %s\n" % (author, when, author, when))
        self._stream.append(b"data %d\n%s\n" % (len(text), text))
        for keyword, parent in zip([b"from", *[b"merge"] * len(parents)], parents, strict=False):
            self._stream.append(b"%s :%d\n" % (keyword, parent))
        self._stream.append(b"deleteall\n")
        for path, entry in tree.items():
            self._add(path, entry if isinstance(entry, Entry) else Entry(FILE, entry))
        self._tips.difference_update(parents)
        self._tips.add(number)
        return number

    def build(self, path: Path) -> Path:
        """Make the bare repository; returns its path."""
        object_format = "sha256" if self.hash_digits == 64 else "sha1"
        git(path.parent, "init", "--quiet", "--bare", f"--object-format={object_format}", str(path))
        self._stream.append(b"reset refs/heads/build\n\n")
        self._stream.extend(b"reset refs/heads/tip-%d\nfrom :%d\n\n" % (tip, tip) for tip in sorted(self._tips))
        git(
            path,
            "fast-import",
            "--quiet",
            "--force",
            "--date-format=raw-permissive",
            given=b"".join(self._stream),
        )
        return path

    def _add(self, path: str, entry: Entry) -> None:
        name = b'"%s"' % path.encode().replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n")
        if entry.mode == SUBMODULE:
            commit = entry.content.hex().rjust(self.hash_digits, "1").encode()
            self._stream.append(b"M 160000 %s %s\n" % (commit, name))
        else:
            header = (entry.mode.encode(), name, len(entry.content))
            self._stream.append(b"M %s inline %s\ndata %d\n" % header + entry.content + b"\n")


def git(path: Path, *arguments: str, given: bytes = b"") -> str:
    """What a git command writes that runs in ``path``; an exception, where it fails."""
    done = subprocess.run(["git", *arguments], cwd=path, env=ENVIRONMENT, input=given, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape")


def hashes(path: Path) -> list[str]:
    """All commits, in the order of history."""
    return git(path, "rev-list", "--reverse", "--topo-order", "--branches", "--tags").split()


def text(name: str, lines: int = 20, changed: Iterable[int] = ()) -> bytes:
    """A file whose lines bear ``name``; to git, files that differ in few ``changed`` lines are alike."""
    altered = set(changed)
    return b"".join(
        b"%s line %d%s\n" % (name.encode(), line, b", altered" if line in altered else b"") for line in range(lines)
    )


def _merged(base: Tree, ours: Tree, theirs: Tree, result: Tree, *more: Tree) -> History:
    history = History()
    root = history.commit(base)
    sides = [history.commit(tree, [root]) for tree in (ours, theirs, *more)]
    history.commit(result, sides)
    return history


def _conflict() -> History:
    return _merged(
        {"a": text("a")},
        {"a": text("a", changed=[3])},
        {"a": text("a", changed=[4])},
        {"a": text("a", changed=[3, 4, 5])},
    )


def _evil() -> History:
    sides = {"a": text("a"), "b": text("b")}
    result = sides | {"unasked": text("unasked"), "copied": text("a", changed=[1])}
    return _merged({"a": text("a")}, sides, {"a": text("a", changed=[9])}, result)


def _renamed_on_one_side() -> History:
    return _merged(
        {"a": text("a"), "keep": b"x"},
        {"b": text("a", changed=[2]), "keep": b"x"},
        {"a": text("a", changed=[15]), "keep": b"x"},
        {"b": text("a", changed=[2, 15]), "keep": b"x"},
    )


def _renamed_on_both_sides() -> History:
    return _merged(
        {"a": text("a"), "keep": b"x"},
        {"b": text("a", changed=[1]), "keep": b"x"},
        {"c": text("a", changed=[2]), "keep": b"x"},
        {"d": text("a", changed=[1, 2]), "b": text("a", changed=[1, 3]), "keep": b"y"},
    )


def _copied_on_both_sides() -> History:
    return _merged(
        {"a": text("a"), "z": text("z")},
        {"a": text("a", changed=[1]), "copy": text("a", changed=[2]), "z": text("z")},
        {"a": text("a"), "z": text("z", changed=[3]), "dir/copy": text("z", changed=[4])},
        {"a": text("a", changed=[1, 5]), "copy": text("a", changed=[6]), "z": text("z", changed=[3]),
         "dir/copy": text("z", changed=[7])},
    )  # fmt: skip


def _added_on_both_sides() -> History:
    return _merged({"a": b"a"}, {"a": b"a", "n": text("one")}, {"a": b"a", "n": text("two")}, {"n": text("both")})


def _deleted_on_one_side() -> History:
    return _merged(
        {"a": text("a"), "b": text("b"), "c": text("c")},
        {"a": text("a", changed=[1]), "c": text("c")},
        {"a": text("a"), "b": text("b", changed=[2]), "c": text("c")},
        {"a": text("a", changed=[1])},
    )


def _deleted_by_the_merge() -> History:
    # "b" goes in the merge itself, and serves as the source of a rename against one parent only.
    return _merged(
        {"a": text("a"), "b": text("b")},
        {"a": text("a", changed=[1]), "b": text("b", changed=[1])},
        {"a": text("a", changed=[2]), "b": text("b", changed=[2]), "new": text("b", changed=[2, 3])},
        {"a": text("a"), "new": text("b", changed=[2, 3])},
    )


def _octopus() -> History:
    base = {name: text(name) for name in "abcd"}
    sides = [base | {name: text(name, changed=[1])} for name in "abc"]
    result = {name: text(name, changed=[1, 2]) for name in "abc"} | {"moved": text("d")}
    return _merged(base, *sides[:2], result, sides[2])


def _criss_cross() -> History:
    history = History()
    root = history.commit({"a": text("a"), "b": text("b")})
    left = history.commit({"a": text("a", changed=[1]), "b": text("b")}, [root])
    right = history.commit({"a": text("a"), "c": text("b", changed=[1])}, [root])
    one = history.commit({"a": text("a", changed=[1]), "c": text("b", changed=[1])}, [left, right])
    two = history.commit({"a": text("a", changed=[1, 2]), "b": text("b", changed=[1])}, [right, left])
    history.commit({"a": text("a", changed=[1, 2, 3]), "d": text("b", changed=[1, 2])}, [one, two])
    return history


def _unrelated() -> History:
    history = History()
    ours = history.commit({"a": text("a"), "shared": text("shared")})
    theirs = history.commit({"b": text("b"), "shared": text("shared", changed=[1])})
    history.commit({"a": text("a"), "sub/b": text("b"), "shared": text("shared", changed=[1, 2])}, [ours, theirs])
    return history


def _type_changes() -> History:
    link, module = Entry(LINK, b"elsewhere"), Entry(SUBMODULE, b"\1")
    base: Tree = {"a": text("a"), "b": text("b"), "c": link, "d": module}
    return _merged(
        base,
        {"a": text("a", changed=[1]), "b": text("b", changed=[1]), "c": Entry(LINK, b"1"), "d": text("d")},
        {"a": text("a", changed=[2]), "b": link, "c": Entry(LINK, b"2"), "d": Entry(SUBMODULE, b"\2")},
        {"a": link, "b": text("b", changed=[3]), "c": text("c"), "d": Entry(SUBMODULE, b"\3")},
    )


def _submodules() -> History:
    trees: list[Tree] = [{"a": b"a", "module": Entry(SUBMODULE, bytes([number]))} for number in range(1, 5)]
    return _merged(*trees)


def _modes() -> History:
    history = _merged(
        {"a": text("a"), "b": text("b")},
        {"a": Entry(EXECUTABLE, text("a")), "b": text("b")},
        {"a": text("a", changed=[1]), "b": Entry(EXECUTABLE, text("b"))},
        {"a": Entry(EXECUTABLE, text("a", changed=[1])), "b": text("b")},
    )
    history.commit({"a": text("a", changed=[1]), "c": Entry(EXECUTABLE, text("b"))}, [4])
    return history


def _empty_merges() -> History:
    history = _merged({"a": b"a"}, {"a": b"b"}, {"a": b"a"}, {"a": b"b"})
    ours = history.commit({"a": b"z"}, [1])
    history.commit({"a": b"z"}, [ours, 4], message=b"")
    history.commit({"a": b"z"}, [ours, 4], message=b"Ours\n\nAll of it.\n")
    history.commit({"a": b"b"}, [ours, 4], message=b"")
    history.commit({}, [ours, 4], message=b"")
    return history


def _file_becomes_folder() -> History:
    return _merged(
        {"a": text("a"), "b/x": text("b")},
        {"a/x": text("a", changed=[1]), "b/x": text("b")},
        {"a": text("a", changed=[2]), "b": text("b", changed=[1])},
        {"a/x": text("a", changed=[1, 2]), "a/y": text("b"), "b": text("b", changed=[3])},
    )


def _many_renames() -> History:
    """More than git's limit of 1,000 renamed files, each a little changed."""
    count = 1_010
    names = [f"file{number}" for number in range(count)]
    base = {f"old/{name}": text(name, 6) for name in names}
    moved = {f"new/{name}": text(name, 6, changed=[1]) for name in names}
    few = dict(list(base.items())[:900]) | dict(list(moved.items())[900:]) | {"fix": text("file1", 6, changed=[2])}
    history = _merged(base, moved, base | {"fix": text("fix")}, moved | {"fix": text("file0", 6, changed=[2])})
    history.commit(few, [2, 3])
    return history


def _odd_texts() -> History:
    history = History()
    paths: Tree = {'quo"te': b"1", "tab\tbed": b"2", "new\nline": b"3", "d\u00e9j\u00e0": b"4",
                   "a => b": text("r"), "{x => y}/f": text("s"),
                   "binary": b"\0\1\2", "empty": b""}  # fmt: skip
    root = history.commit(paths, message=b"")
    latin = b"Andr\xe9 <andr\xe9@example.org>"
    one = history.commit({}, [root], message=b"R\xe9sum\xe9\r\n\r\n  indented\n", author=latin)
    trailers = b"Subject\n\nReviewed-by: A <a@example.org>\nSigned-off-by: B <b@example.org>\nOther: c\n"
    two = history.commit({"moved": text("r"), "w/f": text("s", changed=[1])}, [root], message=trailers)
    look_alikes = b"commit %s\n:100644 100644 a b M\tx\n1\t2\tx\n\n\n\nNotes:\n" % (b"a" * 40)
    three = history.commit({"x": b"1"}, [two], message=look_alikes, author=b" <>", date=b"0 -0000")
    dates = (b"1 +1400", b"2147483648 -1130", b"4102444800 +0545", b"1600000000 +9959", b"1600000000 -0001")
    for date in dates:
        three = history.commit({"x": date}, [three], date=date)
    history.commit({}, [one, three], message=b"\n\nleading\n\n\ntrailing\n\n\n")
    return history


HARD_CASES: Final[Mapping[str, Callable[[], History]]] = {
    "a merge with conflicts": _conflict,
    "an evil merge": _evil,
    "a file renamed on one side": _renamed_on_one_side,
    "a file renamed on both sides": _renamed_on_both_sides,
    "files copied on both sides": _copied_on_both_sides,
    "a file added on both sides": _added_on_both_sides,
    "files deleted on one side": _deleted_on_one_side,
    "a file deleted by the merge": _deleted_by_the_merge,
    "an octopus": _octopus,
    "criss-cross merges": _criss_cross,
    "unrelated histories": _unrelated,
    "type changes": _type_changes,
    "submodules": _submodules,
    "mode changes": _modes,
    "empty merges": _empty_merges,
    "a file that becomes a folder": _file_becomes_folder,
    "more renames than git looks for": _many_renames,
    "odd paths, messages, names and dates": _odd_texts,
}
