"""Repositories that are made to hurt."""

import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elasticsearch
import pytest

from ingest.git import mirror
from ingest.git.remote import Remote
from ingest.index import connection
from ingest.node import Node
from tests.conftest import Run, free_port
from tests.documents import assert_equal_to_perceval, counted, documents, hashes
from tests.node.conftest import JVM_OPTIONS
from tests.node_cache import node_cache
from tests.repository import Repository
from tests.terminal import on_a_terminal

# Set the title, clear the screen, ring, answer back; the same in C1; turn the line round.
EVIL = "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b2J\x9d0;x\x9c\u202egnp.exe\u2066\r\x08\x7f"


def commit(repository: Repository, message: str, name: str) -> None:
    """Commit as somebody of that name and e-mail."""
    repository.git(
        "commit", "--quiet", f"--message={message}",
        GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=name, GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=name,
    )  # fmt: skip


def raw(repository: Repository, author: bytes, message: bytes, headers: bytes = b"") -> str:
    tree, parent = repository.git("rev-parse", "HEAD^{tree}"), repository.head()
    return repository.raw_commit(
        f"tree {tree}\nparent {parent}\n".encode() + b"author " + author + b"\ncommitter " + author + b"\n"
        + headers + b"\n" + message
    )  # fmt: skip


def assert_loaded(
    repository: Repository, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    """Check that a load leaves every commit in the index, as Perceval reads it."""
    done = ingest("load", repository.path)
    assert done.returncode == 0, done.stderr
    assert set(hashes(client, alias)) == repository.hashes()
    origin = str(repository.path)
    assert_equal_to_perceval(client, alias, mirror.folder(home, Remote(origin)), origin)


def test_messages_that_look_like_a_log(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    first = repository.commit("First", {"a.txt": "1\n"})
    log = repository.git(
        "log", "--raw", "--numstat", "--pretty=fuller", "--decorate=full", "--parents", "-M", "-C", "-c"
    )
    for message in (log, f"x\n\n{log}", f"commit {first}", f"x\n\ncommit {first} {first} (HEAD -> refs/heads/main)\n",
                    "x\n\n:100644 100644 0000000 1111111 M\ta.txt\n1\t1\ta.txt", "x\n\n1\t0\ta.txt\n",
                    "Merge: 1 2\nAuthor: x <y>", "x\n\n    \n\n\n   y"):  # fmt: skip
        repository.commit(message, {"a.txt": f"{message}\n"})
    assert_loaded(repository, client, alias, home, ingest)


def test_names_and_messages_with_control_characters(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    evil = EVIL.replace("\r", "")
    repository.commit("First", {"a.txt": "1\n"})
    repository.write({f"{EVIL}.txt": "1\n", "\x01\x02\x03": "2\n"})
    repository.git("add", "--all")
    commit(repository, f"{evil}\n\n{evil}", evil)
    repository.git("tag", "--annotate", f"--message={evil}", "v\u202e\x9b2J")
    repository.git("branch", "\u2066branch\x9d")
    assert_loaded(repository, client, alias, home, ingest)


def test_dates_and_signatures_that_nobody_has(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("First", {"a.txt": "1\n"})
    years = [-62167219200, -62135596800, -2208988801, 253402300799, 253402300800, 99999999999999, 9223372036854775807,
             18446744073709551616]  # fmt: skip
    for seconds in years:
        raw(repository, f"A <a@b> {seconds} +0000".encode(), b"x")
        raw(repository, f"A <a@b> {seconds} -999999".encode(), b"x")
    for author in (b"A", b"", b"A 1 +0000", b"<> 1 +0000", b"A <a@b", b"A a@b> 1 +0000", b"A <a@b> 1", b"A <a@b> x y",
                   b"A <<a@b>> 1 +0000", b"A <a@b> 1 +99999999", b"A\0B <a@b> 1 +0000"):  # fmt: skip
        raw(repository, author, b"x")
    for message in (b"NUL \0 in it", b"\0", b"\xff\xfe", b"no end", b"\n\n\n", b"\xed\xa0\x80"):
        raw(repository, b"A <a@b> 1 +0000", message)
    raw(repository, b"A <a@b> 1 +0000", b"caf\xe9", b"encoding iso-8859-1\n")
    raw(repository, b"A <a@b> 1 +0000", b"x", b"encoding no-such-encoding\n")
    raw(repository, b"A <a@b> 1 +0000", b"x", b"gpgsig -----BEGIN\n more\n\x1b[2J\nx-unknown y\n")
    done = ingest("load", repository.path)
    assert done.returncode == 0, done.stderr
    assert set(hashes(client, alias)) == repository.hashes()
    assert not [each for each in documents(client, alias).values() if "incomplete" in each]


def test_objects_of_other_kinds_than_git_makes(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    first = repository.commit("First", {"a.txt": "1\n", "link": "x\n"})
    (repository.path / "link").unlink()
    (repository.path / "link").symlink_to("/etc/passwd")
    (repository.path / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (repository.path / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch /tmp/x"\n')
    repository.commit("Links", {"l.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"})
    repository.git("tag", "blob", repository.git("rev-parse", "HEAD:a.txt"))
    repository.git("tag", "tree", repository.git("rev-parse", "HEAD^{tree}"))
    repository.git("tag", "--annotate", "--message=x", "one", first)
    repository.git("tag", "--annotate", "--message=x", "two", "one")
    repository.git("notes", "add", "--message=note", first)
    second = repository.commit("Second")
    repository.git("replace", first, second)
    repository.git("update-ref", "refs/hidden/x", second)
    repository.git("symbolic-ref", "refs/heads/symbolic", "refs/heads/main")
    repository.commit("Deep", {"/".join(["d"] * 500) + "/f": "x\n", "n" * 255: "x\n"})
    assert_loaded(repository, client, alias, home, ingest)


MANY = [f"folder-{number % 1000}/a-file-with-a-name-{number}.txt" for number in range(100_000)]
LONG = "Long\n\n" + "a line of some length, as they are in messages\n" * 220_000 + "end"


def with_large_commits(path: Path) -> Repository:
    """A repository of a commit that touches a hundred thousand files, and one whose message has ten megabytes."""
    repository = Repository(path)
    stream = (
        b"blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\nMany\n"
        + b"".join(b"M 644 :1 %s\n" % name.encode() for name in MANY)
        + b"commit refs/heads/main\ncommitter A <a@b> 2 +0000\ndata %d\n%s\n" % (len(LONG), LONG.encode())
        + b"commit refs/heads/main\ncommitter A <a@b> 3 +0000\ndata 4\nLast\n"
    )
    repository.git("fast-import", "--quiet", stdin=stream)
    return repository


@pytest.fixture
def usual(open_folder: Path, environment: dict[str, str]) -> Iterator[elasticsearch.Elasticsearch]:
    """A server of the size that we start by ourselves, which the command uses too."""
    node = Node(open_folder / "usual", cache=node_cache(), jvm_options=JVM_OPTIONS, port=free_port())
    environment["ES_URL"] = node.start().url
    with connection.connect((environment["ES_URL"],)) as client:
        yield client
    node.stop()


@pytest.mark.slow
def test_a_message_of_ten_megabytes_and_a_commit_of_a_hundred_thousand_files(
    tmp_path: Path, usual: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    """Of which Perceval itself would take the message line by line, for an hour."""
    done = ingest("load", with_large_commits(tmp_path / "repository").path)
    found = {document["subject"]: document for document in documents(usual, alias).values()}
    assert (done.returncode, done.stderr) == (0, "")
    assert {each["path"] for each in found["Many"]["files"]} == set(MANY)
    assert found["Many"]["lines_added"] == 100_000
    assert found["Long"]["message"] == LONG
    assert found["Last"]["files"] == []


@pytest.mark.slow
def test_a_commit_for_which_a_small_server_never_has_the_memory_loses_its_file_list(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    done = ingest("load", with_large_commits(tmp_path / "repository").path)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("3 commits indexed, 1 of them incomplete, 0 rejected")
    found = {document["subject"]: document for document in documents(client, alias).values()}
    assert (found["Many"]["files_count"], found["Many"]["files"]) == (100_000, [])
    assert found["Long"]["message"] == LONG


@pytest.mark.slow
def test_fifty_thousand_refs(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, home: Path, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    commits = [repository.commit(f"{number}") for number in range(10)]
    refs = [f"create refs/tags/v{number} {commits[number % 10]}\n" for number in range(50_000)]
    repository.git("update-ref", "--stdin", stdin="".join(refs).encode())
    repository.git("pack-refs", "--all")
    assert_loaded(repository, client, alias, home, ingest)
    assert sorted(len(each["refs"]) for each in documents(client, alias).values()) == [5000] * 9 + [5002]
    repository.git("tag", "--delete", "v7")
    done = ingest("load", repository.path)
    assert done.stdout.startswith("1 commits indexed, 0 rejected")


def harmless(shown: str) -> bool:
    """Whether nothing in it does more to a terminal than our own bar and line ends."""
    left = re.sub(r"\x1b\[A|\r", "", shown)
    return all(each == "\n" or unicodedata.category(each) not in ("Cc", "Cf") for each in left)


@pytest.mark.slow
def test_the_terminal_is_not_written_to_by_a_repository(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, environment: dict[str, str]
) -> None:
    repository = Repository(tmp_path / f"repo{EVIL}sitory".replace("/", ""))
    evil = EVIL.replace("\r", "")
    for number in range(5):
        repository.write({f"{EVIL}{number}.txt": f"{number}\n"})
        repository.git("add", "--all")
        commit(repository, evil, evil)
    repository.git("branch", "x\x9b2J\u202e")
    program = [sys.executable, "-m", "ingest"]
    origin = str(repository.path)
    for command, code in ((["load", origin], 0), (["load", origin], 0), (["status"], 0), (["status", "--json"], 0),
                          (["verify", origin], 0), (["reindex"], 0), (["load", "--branch", EVIL, origin], 4),
                          (["load", f"{origin}/{EVIL}"], 4), (["load", f"https://127.0.0.1:1/{EVIL}"], 4),
                          (["load", f"ext::{EVIL}"], 2), (["replay", EVIL], 2), (["load", "--index", EVIL, "x"], 2),
                          (["load", "--log-format", "json", origin, f"{origin}x"], 4)):  # fmt: skip
        found, shown = on_a_terminal([*program, *command], environment)
        assert found == code, shown
        assert harmless(shown), (command, shown)
    assert counted(client, alias) == 5


def test_what_the_host_says_is_shown_without_its_escapes(
    tmp_path: Path, environment: dict[str, str], client: elasticsearch.Elasticsearch, alias: str
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("x")
    hook = tmp_path / "upload-pack"
    escapes = r"\033]0;evil\007\033[2J\302\233\342\200\256"
    hook.write_text(f"#!/bin/sh\nprintf '{escapes} told\\n' >&2\nexec git-upload-pack \"$@\"\n")
    hook.chmod(0o755)
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\nexec {hook} {repository.path}\n")
    ssh.chmod(0o755)
    command = [sys.executable, "-m", "ingest", "load", "ssh://host/repository"]
    code, shown = on_a_terminal(command, environment | {"GIT_SSH_COMMAND": str(ssh)})
    assert code == 0, shown
    assert "told" in shown
    assert harmless(shown), shown
    assert counted(client, alias) == 1


@pytest.fixture
def unwanted(tmp_path: Path) -> Any:
    """A command that leaves a mark, and a way to see that it has not."""
    marker = tmp_path / "marker"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    yield str(program)
    assert not marker.exists()


def test_nothing_in_a_repository_is_executed(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, unwanted: str, ingest: Run
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("x", {".gitattributes": "* filter=evil diff=evil merge=evil\n", "a.txt": "1\n"})
    repository.commit("y", {"a.txt": "2\n", ".mailmap": "A <a@b> <c@d>\n",
                            ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c true\n',
                            ".lfsconfig": "[lfs]\n\turl = https://127.0.0.1:1\n"})  # fmt: skip
    hooks = ("post-checkout", "post-update", "pre-receive", "update", "post-index-change", "fsmonitor-watchman",
             "pre-auto-gc", "proc-receive", "reference-transaction")  # fmt: skip
    for hook in hooks:
        place = repository.path / ".git" / "hooks" / hook
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(unwanted)
    for name in ("core.fsmonitor", "core.sshCommand", "core.gitProxy", "core.pager", "core.editor", "core.askPass",
                 "filter.evil.smudge", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv",
                 "diff.evil.command", "diff.external", "merge.evil.driver", "uploadpack.packObjectsHook",
                 "credential.helper", "gpg.program", "log.mailmap", "alias.log", "alias.rev-list", "pager.log",
                 "interactive.diffFilter", "remote.origin.uploadpack", "uploadpack.hideRefs",
                 "core.alternateRefsCommand", "url.ext::sh.insteadOf"):  # fmt: skip
        repository.git("config", name, unwanted)
    for origin in (str(repository.path), f"file://{repository.path}"):
        for _ in range(2):
            done = ingest("load", origin)
            assert done.returncode == 0, done.stderr
        assert ingest("verify", origin).returncode == 0
    assert counted(client, alias) == 4


def test_files_of_ours_are_private_whatever_the_umask(tmp_path: Path, home: Path, environment: dict[str, str]) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("First", {"a.txt": "1\n"})
    command = f"umask 0; exec {sys.executable} -m ingest load --workers 2 {repository.path}"
    home.mkdir(mode=0o755)
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert home.stat().st_mode & 0o777 == 0o755
    assert [path for path in home.iterdir() if path.stat().st_mode & 0o077] == []
    assert [path for path in home.glob("mirrors/*") if path.stat().st_mode & 0o077] == []
