"""Each failure that a user can cause: one clear line, its exit code, no traceback, no secret."""

import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import elasticsearch
import pytest

from tests.conftest import Run
from tests.repository import Repository, linear


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> str:
    """Check that a run failed as it should, and give the line it printed."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in words), line
    assert "Running again" in line
    return line


@contextmanager
def answering(status: int, body: bytes, kind: str = "text/html") -> Iterator[str]:
    """A web server that gives everybody the same answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_repository_that_does_not_exist(tmp_path: Path, ingest: Run) -> None:
    path = tmp_path / "nothing"
    words = f"The repository {path} cannot be read (repository '{path}' does not exist)"
    one_line(ingest("load", path), 4, words, "no repository was found")


def test_a_folder_that_is_not_a_repository(tmp_path: Path, ingest: Run) -> None:
    (tmp_path / "folder").mkdir()
    one_line(ingest("load", tmp_path / "folder"), 4, str(tmp_path / "folder"), "not a git repository")


def test_an_empty_repository_is_a_success(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    done = ingest("load", Repository(tmp_path / "empty").path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0 commits indexed, 0 rejected")
    assert client.count(index=alias)["count"] == 0


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may read everything")
def test_a_repository_that_this_user_may_not_read(tmp_path: Path, environment: dict[str, str]) -> None:
    repository = linear(tmp_path / "repository", 1)
    command = [sys.executable, "-m", "ingest", "load", str(repository.path)]
    if os.geteuid() == 0:
        # Root without the capability that lets it read everything, before a folder of somebody else's.
        os.chown(repository.path, 1234, 1234)
        dropped = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", *command]
        repository.path.chmod(0o700)
    else:
        repository.path.chmod(0)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    repository.path.chmod(0o700)
    one_line(done, 4, str(repository.path))


@pytest.mark.parametrize("url", ["https://host.invalid/x.git", "git://host.invalid/x.git", "https://127.0.0.1:1/x.git"])
def test_a_host_that_is_unknown_or_does_not_answer(url: str, ingest: Run) -> None:
    assert "Running again may help" in one_line(ingest("load", url), 4, url)


def test_a_question_for_a_password_is_an_error_at_once(ingest: Run) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        one_line(ingest("load", f"http://127.0.0.1:{server.server_port}/x"), 4, "credentials")
        server.shutdown()


def test_no_repository_named(ingest: Run) -> None:
    one_line(ingest("load"), 2, "No repository", "make ingest REPO=")


def test_a_repository_that_looks_like_an_option(ingest: Run) -> None:
    assert ingest("load", "--upload-pack=touch /tmp/x").returncode == 2
    one_line(ingest("load", "--", "--upload-pack=touch /tmp/x"), 2, "--upload-pack")
    one_line(ingest("load", INGEST_REPO="--upload-pack=x"), 2, "--upload-pack")


@pytest.mark.parametrize("repository", ["ext::sh -c true", "fd::17", "ftp://host/x", "https::https://host/x"])
def test_a_transport_that_could_run_something(repository: str, ingest: Run) -> None:
    one_line(ingest("load", "--", repository), 2, "transport")


@pytest.mark.parametrize("name", ["Upper", "-dash", "a/b", "a b", "..", "", "a" * 300])
def test_a_bad_index_name(name: str, ingest: Run) -> None:
    done = ingest("load", "--index", name, "x")
    assert done.returncode == 2
    assert "index name" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value"), [("INGEST_RETRY_FOR", "soon"), ("INGEST_CHUNK_BYTES", "10 potatoes"),
                            ("INGEST_CHUNK_SIZE", "0"),
                            ("INGEST_HOME", "relative"), ("ES_URL", "localhost:9200"), ("ES_USERNAME", "only"),
                            ("ES_CA_CERTS", "/nowhere.pem"), ("INGEST_INDEX", "Upper")]
)  # fmt: skip
def test_a_variable_that_makes_no_sense(variable: str, value: str, ingest: Run) -> None:
    one_line(ingest("load", "x", **{variable: value}), 2, variable)


def test_an_index_that_stands_under_the_aliases_name(
    tmp_path: Path, client: elasticsearch.Elasticsearch, alias: str, ingest: Run
) -> None:
    client.indices.create(index=alias)
    one_line(ingest("load", linear(tmp_path / "repository", 1).path), 5, alias, "not an alias")
    assert client.indices.get(index=alias)[alias]["mappings"] == {}


def test_a_branch_that_the_repository_lacks(tmp_path: Path, ingest: Run) -> None:
    done = ingest("load", "--branch", "nope", linear(tmp_path / "repository", 1).path)
    one_line(done, 4, "'nope'", "main")


def test_a_gitpath_that_is_no_mirror_of_the_repository(tmp_path: Path, ingest: Run) -> None:
    one, two = linear(tmp_path / "one", 1), linear(tmp_path / "two", 1)
    place = tmp_path / "mirror.git"
    assert ingest("load", "--gitpath", place, one.path).returncode == 0
    one_line(ingest("load", "--gitpath", place, two.path), 2, str(place), "not a mirror of")
    one_line(ingest("load", "--gitpath", one.path / ".git", one.path), 2, "not a bare repository")


def test_a_saved_log_that_is_none(tmp_path: Path, ingest: Run) -> None:
    (tmp_path / "log").write_text("Dear diary\n")
    one_line(ingest("load", "--gitpath", tmp_path / "log", "https://example.org/x"), 4, "line 1", "git log --raw")


def test_elasticsearch_is_not_there(tmp_path: Path, ingest: Run) -> None:
    line = one_line(ingest("load", tmp_path, ES_URL="http://u:hunter2@127.0.0.1:1"), 5, "http://127.0.0.1:1", "ES_URL")
    assert "may help" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("status", [200, 404, 500])
def test_what_answers_is_not_elasticsearch(status: int, tmp_path: Path, ingest: Run) -> None:
    with answering(status, b"<html>It works!</html>") as url:
        one_line(ingest("load", tmp_path, ES_URL=url), 5, url, "is not Elasticsearch")


def test_a_proxy_whose_elasticsearch_is_away(tmp_path: Path, ingest: Run) -> None:
    with answering(503, b"<html>Service Unavailable</html>") as url:
        assert "may help" in one_line(ingest("load", tmp_path, ES_URL=url), 5, url, "cannot do it now (503)")


def test_elasticsearch_is_too_old(tmp_path: Path, ingest: Run) -> None:
    # What version 7 answers to a client of version 8.
    body = (
        b'{"error":{"root_cause":[{"type":"media_type_header_exception","reason":"Invalid media-type value on headers'
        b' [Accept]"}],"type":"media_type_header_exception","reason":"Invalid media-type value on headers [Accept]"},'
        b'"status":400}'
    )
    with answering(400, body, "application/json") as url:
        one_line(ingest("load", tmp_path, ES_URL=url), 5, url, "too old", "8 or later")


def test_a_home_that_cannot_be_written(tmp_path: Path, ingest: Run) -> None:
    repository = linear(tmp_path / "repository", 1)
    (tmp_path / "file").write_text("")
    one_line(ingest("load", repository.path, INGEST_HOME=str(tmp_path / "file" / "home")), 4, "INGEST_HOME")


def test_the_disk_is_full(
    tmp_path: Path, environment: dict[str, str], small_disk: Callable[[list[str]], list[str]]
) -> None:
    repository = Repository(tmp_path / "repository")
    repository.commit("Large", {"large.bin": os.urandom(4 << 20)})
    command = [sys.executable, "-m", "ingest", "load", f"file://{repository.path}"]
    done = subprocess.run(small_disk(command), env=environment, capture_output=True, text=True, check=False)
    one_line(done, 4, "No space left on device", "make room")


@pytest.fixture
def small_disk(tmp_path: Path, home: Path) -> Callable[[list[str]], list[str]]:
    """Give a command that runs another with a home on a disk of one megabyte, in a mount namespace of its own."""
    home.mkdir()

    def wrap(command: list[str]) -> list[str]:
        mount = f'mount -t tmpfs -o size=1m,mode=700 tmpfs "{home}" && exec "$@"'
        return ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh", *command]

    return wrap
