"""Building git repositories in tests: real ones, the same on every run."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Repository:
    """A git repository with a working tree, whose commits have fixed authors and dates."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.clock = 1_000_000_000
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

    def git(self, *arguments: str, stdin: bytes | None = None, **variables: str) -> str:
        """Run git here and give what it prints."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Lovelace",
            "GIT_AUTHOR_EMAIL": "ada@Example.ORG",
            "GIT_COMMITTER_NAME": "Charles Babbage",
            "GIT_COMMITTER_EMAIL": "charles@example.com",
            "GIT_AUTHOR_DATE": f"{self.clock} +0530",
            "GIT_COMMITTER_DATE": f"{self.clock} -0330",
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=environment | variables,
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")

    def write(self, files: Mapping[str | bytes, str | bytes | None]) -> None:
        """Write files; None removes one."""
        for name, content in files.items():
            path = self.path / os.fsdecode(name)
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(
        self,
        message: str = "change",
        files: Mapping[str | bytes, str | bytes | None] | None = None,
    ) -> str:
        """Commit files, or nothing, a minute after the last commit; give the hash."""
        self.clock += 60
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", f"--message={message}")
        return self.head()

    def raw_commit(self, content: bytes) -> str:
        """Commit an object written by hand, whatever it holds, as the new tip of the branch."""
        commit = self.git("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=content)
        self.git("reset", "--quiet", "--soft", commit)
        return commit

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def hashes(self) -> set[str]:
        """Every commit that a branch or tag reaches."""
        return set(self.git("rev-list", "--branches", "--tags").split())


def recording_git(folder: Path) -> tuple[str, Path]:
    """A PATH on which git writes down its arguments before it runs, and the file that it writes them to."""
    recorded = folder / "recorded"
    wrapper = folder / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {recorded}\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    return f"{wrapper.parent}:{os.environ['PATH']}", recorded


def linear(path: Path, commits: int) -> Repository:
    """A repository of so many commits on one branch, made quickly."""
    stream = b"".join(
        b"commit refs/heads/main\nmark :%d\nauthor Ada <ada@example.org> %d +0100\n"
        b"committer Ada <ada@example.org> %d +0100\ndata <<END\nChange %d\nEND\n"
        b"M 644 inline file-%d.txt\ndata <<END\nline %d\nEND\n"
        % (number, 1_000_000_000 + number, 1_000_000_000 + number, number, number % 10, number)
        for number in range(1, commits + 1)
    )
    repository = Repository(path)
    repository.git("fast-import", "--quiet", stdin=stream)
    repository.git("reset", "--quiet", "--hard")
    return repository


def of_every_kind(path: Path) -> Repository:
    """A repository that holds each kind of commit that a document must be able to keep."""
    repository = Repository(path)
    text = "".join(f"line {number}\n" for number in range(40))
    repository.commit("Add files\n\nWith a body.", {"a.txt": text, "dir/b.txt": text + "b\n", "c.txt": "c\n" * 30})
    repository.commit("Rename", {"a.txt": None, "dir/renamed.txt": text})
    repository.commit("Copy", {"dir/copy.txt": text + "b\n", "dir/b.txt": text + "changed\n"})
    repository.commit("Delete", {"c.txt": None})
    repository.commit("Add a binary file", {"image.bin": bytes(range(256)) * 8})
    repository.commit("Change a binary file", {"image.bin": bytes(range(255, -1, -1)) * 8})
    repository.commit("", {"empty-message.txt": "x\n"})
    repository.commit("No files at all")
    _submodule(repository)
    _latin_1(repository)
    repository.commit("Odd names", {'quo"te\ttab\nnewline.txt': "x\n", "back\\slash": "x\n", "{a => b}.txt": "x\n",
                                    "déjà vu.txt": "x\n", " leading and trailing ": "x\n"})  # fmt: skip
    repository.commit("Rename odd names", {"déjà vu.txt": None, "vu déjà.txt": "x\n", 'quo"te\ttab\nnewline.txt': None,
                                           'moved/quo"te\ttab\nnewline.txt': "x\n"})  # fmt: skip
    _dates(repository)
    trailers = (
        "Signed-off-by: A <a@example.org>\nSigned-off-by: B <b@example.org>\nReviewed-by: C\nCo-authored-by: D <d>"
    )
    repository.commit(f"Trailers\n\n{trailers}\nChange-Id: I123", {"t.txt": "t\n"})
    _merges(repository)
    repository.git("tag", "light")
    repository.git("tag", "--annotate", "--message=x", "release/1.0,final")
    repository.git("branch", "feature/with,comma")
    return repository


def _submodule(repository: Repository) -> None:
    commit = repository.head()
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    repository.clock += 60
    repository.git("commit", "--quiet", "--message=Add a submodule")
    (repository.path / "module").mkdir()


def _latin_1(repository: Repository) -> None:
    repository.commit("placeholder", {b"caf\xe9.txt": "x\n", b"\x93quoted\x94.txt": "x\n"})
    tree, parent = repository.git("rev-parse", "HEAD^{tree}"), repository.git("rev-parse", "HEAD^")
    repository.raw_commit(
        f"tree {tree}\nparent {parent}\n".encode()
        + b"author Andr\xe9 \x81\x93 <andr\xe9@ex\xe4mple.org> 1000000300 +0200\n"
        + b"committer Andr\xe9 <andr\xe9@example.org> 1000000300 +0200\n\n"
        + b"Caf\xe9 \x80 5 and utf-8 \xc3\xa9\n\nSigned-off-by: Andr\xe9 <andr\xe9@example.org>\n"
    )


def _dates(repository: Repository) -> None:
    for number, date in enumerate(
        ["0 +0000", "-100000 +0000", "1 +1400", "90000 -1200", "3 +0545", "90 -0001", "5 +1801", "6 +5959",
         "900000 -9900", "8 +0160", "253402300000 +0000", "86399 -0000", "9 +0060", "10 +12345"]
    ):  # fmt: skip
        tree, parent = repository.git("rev-parse", "HEAD^{tree}"), repository.head()
        repository.raw_commit(
            f"tree {tree}\nparent {parent}\nauthor A <a@b> {date}\ncommitter <c@d> {date}\n\nDate {number}\n".encode()
        )
    tree, parent = repository.git("rev-parse", "HEAD^{tree}"), repository.head()
    for signature in (" <>", "A <b> <c@d.e>", "No Mail <>", "A <nomail>"):
        parent = repository.raw_commit(
            f"tree {tree}\nparent {parent}\nauthor {signature} 20 +0000\n"
            f"committer {signature} 20 +0000\n\nWho\n".encode()
        )


def _merges(repository: Repository) -> None:
    repository.commit("Base", {"shared.txt": "1\n2\n3\n4\n5\n", "other.txt": "x\n"})
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit("On the side", {"shared.txt": "1\nside\n3\n4\n5\n", "side.txt": "s\n"})
    repository.git("checkout", "--quiet", "main")
    repository.commit("On main", {"shared.txt": "1\nmain\n3\n4\n5\n"})
    repository.clock += 60
    merge = ["merge", "--quiet", "--no-ff", "--strategy=ours", "--message=Merge side"]
    repository.git(*merge, "side")
    repository.write({"shared.txt": "1\nboth\n3\n4\n5\n", "evil.txt": "evil\n"})
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--amend", "--no-edit")
    for name in ("one", "two", "three"):
        repository.git("checkout", "--quiet", "-b", name, "main")
        repository.commit(f"Branch {name}", {f"{name}.txt": f"{name}\n"})
    repository.git("checkout", "--quiet", "main")
    repository.clock += 60
    repository.git("merge", "--quiet", "--no-ff", "--message=Octopus", "one", "two", "three")
