"""An Elasticsearch that lets in whom it knows, over TLS."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from ingest.node import NodeInfo
from tests.conftest import Run
from tests.git.test_mirror import files_that_hold
from tests.repository import linear
from tests.secure import secure_node
from tests.test_errors import one_line
from tests.test_readme import blocks

PASSWORD = "marker-p@ss/w%rd"


class Secure(NamedTuple):
    """The environment of a user whom the server knows, of one with the role of the README, and of one without any."""

    info: NodeInfo
    known: dict[str, str]
    least: dict[str, str]
    powerless: dict[str, str]


@pytest.fixture(scope="module")
def secure(open_folder: Path) -> Iterator[Secure]:
    users = {"loader": "superuser", "least": "ingest", "nobody": "no_role_at_all"}
    # JSON is YAML, and the tests' indices have other names than the README's.
    role = json.loads(blocks("json")[0].replace("commits*", "t*"))
    node, authority = secure_node(
        open_folder / "secure", {name: (PASSWORD, role) for name, role in users.items()}, json.dumps({"ingest": role})
    )
    info = node.start()
    known = {"ES_URL": info.url, "ES_USERNAME": "loader", "ES_PASSWORD": PASSWORD, "ES_CA_CERTS": str(authority)}
    yield Secure(info, known, known | {"ES_USERNAME": "least"}, known | {"ES_USERNAME": "nobody"})
    node.stop()


def test_it_loads_over_tls_with_a_password_that_appears_nowhere(
    secure: Secure, tmp_path: Path, home: Path, ingest: Run
) -> None:
    done = ingest("load", linear(tmp_path / "repository", 3).path, **secure.known)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 commits indexed")
    assert """curl -u "$ES_USERNAME" --cacert "$ES_CA_CERTS" 'https://""" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    assert files_that_hold(home, PASSWORD) == []


def test_the_role_of_the_readme_is_enough_for_everything(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    repository = linear(tmp_path / "repository", 3)
    for command in (["load", repository.path], ["load", repository.path], ["reindex"], ["verify"], ["status"]):
        done = ingest(*command, **secure.least)
        assert done.returncode == 0, done.stderr


def test_credentials_in_the_url_work_and_appear_nowhere(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    url = secure.info.url.replace("https://", "https://loader:marker-p%40ss%2Fw%25rd@")
    done = ingest("load", linear(tmp_path / "repository", 3).path, ES_URL=url, ES_CA_CERTS=secure.known["ES_CA_CERTS"])
    assert done.returncode == 0, done.stderr
    assert "marker" not in done.stdout + done.stderr


def test_a_wrong_password(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    done = ingest("load", tmp_path, **secure.known | {"ES_PASSWORD": "marker-wrong"})
    assert "marker" not in one_line(done, 5, secure.info.url, "does not accept the credentials", "ES_PASSWORD")


def test_no_password_at_all(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    done = ingest("load", tmp_path, ES_URL=secure.info.url, ES_CA_CERTS=secure.known["ES_CA_CERTS"])
    one_line(done, 5, secure.info.url, "does not accept the credentials")


def test_a_user_without_privileges(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    one_line(ingest("load", tmp_path, **secure.powerless), 5, "forbids it", "privileges")


def test_a_certificate_that_nobody_here_trusts(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    done = ingest("load", tmp_path, **secure.known | {"ES_CA_CERTS": str(stranger)})
    one_line(done, 5, "No trusted connection", "certificate verify failed", "ES_CA_CERTS")


def test_plain_http_to_a_port_that_speaks_tls(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    done = ingest("load", tmp_path, ES_URL=secure.info.url.replace("https", "http"))
    one_line(done, 5, "127.0.0.1")
