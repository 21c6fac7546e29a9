"""An Elasticsearch that lets in whom it knows, over TLS."""

import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import elasticsearch
import pytest
import trustme

from ingest.errors import UsageError
from ingest.index import connection
from ingest.index.document import mapping
from ingest.node import NodeInfo
from ingest.settings import urls
from tests.conftest import Run
from tests.documents import documents, hashes
from tests.gate import Gate, in_file, standing
from tests.git.test_mirror import files_that_hold
from tests.repository import linear
from tests.secure import secure_node
from tests.test_errors import one_line
from tests.test_readme import blocks

LOOKING = (
    ["search", "change"],
    ["search", "--count"],
    ["search", "--by", "author", "--repo", "repository"],
    ["export"],
)
PASSWORD = "marker-p@ss/w%rd"
PRIVILEGES = json.loads(blocks("json")[0])["indices"][0]["privileges"]


class Secure(NamedTuple):
    """The environments of users: one whom the server knows, those with the README's three roles, one without any.

    `without_PRIVILEGE` are users with the rest of the job's role.
    """

    info: NodeInfo
    known: dict[str, str]
    least: dict[str, str]
    reader: dict[str, str]
    powerless: dict[str, str]
    looker: dict[str, str]

    def without(self, privilege: str) -> dict[str, str]:
        return self.known | {"ES_USERNAME": f"without_{privilege}"}


@pytest.fixture(scope="module")
def secure(open_folder: Path) -> Iterator[Secure]:
    # JSON is YAML, and the tests' indices have other names than the README's.
    roles = dict(
        zip(("ingest", "looker", "reader"), (block.replace("commits*", "t*") for block in blocks("json")), strict=True)
    )
    for each in PRIVILEGES:
        role = json.loads(roles["ingest"])
        role["indices"][0]["privileges"].remove(each)
        roles[f"without_{each}"] = json.dumps(role)
    users = {"loader": "superuser", "least": "ingest", "nobody": "no_role_at_all"} | {name: name for name in roles}
    node, authority = secure_node(
        open_folder / "secure",
        {name: (PASSWORD, role) for name, role in users.items()},
        # The server tells roles apart by the beginnings of lines.
        "".join(f"{name}: {role.strip()}\n" for name, role in roles.items()),
    )
    info = node.start()
    known = {"ES_URL": info.url, "ES_USERNAME": "loader", "ES_PASSWORD": PASSWORD, "ES_CA_CERTS": str(authority)}
    yield Secure(info, known, *(known | {"ES_USERNAME": name} for name in ("least", "reader", "nobody", "looker")))
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


def test_user_and_password_may_come_from_files(secure: Secure, tmp_path: Path, home: Path, ingest: Run) -> None:
    repository, secrets = linear(tmp_path / "repository", 3), tmp_path / "secrets"
    secrets.mkdir()
    user, password = in_file(secrets, "loader"), in_file(secrets, PASSWORD)
    here = {name: secure.known[name] for name in ("ES_URL", "ES_CA_CERTS")}
    done = ingest("load", repository.path, ES_USERNAME_FILE=user, ES_PASSWORD_FILE=password, **here)
    assert done.returncode == 0, done.stderr
    assert """curl -u "$(cat "$ES_USERNAME_FILE")" --cacert "$ES_CA_CERTS" 'https://""" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    assert files_that_hold(home, PASSWORD) == []
    wrong = in_file(secrets, "marker-wrong")
    done = ingest("load", repository.path, ES_USERNAME_FILE=user, ES_PASSWORD_FILE=wrong, **here)
    assert "marker" not in one_line(done, 5, secure.info.url, "does not accept the credentials", "ES_PASSWORD")


def test_a_url_with_its_credentials_may_come_from_a_file(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    url = secure.info.url.replace("https://", "https://loader:marker-p%40ss%2Fw%25rd@")
    (tmp_path / "secrets").mkdir()
    done = ingest(
        "load", linear(tmp_path / "repository", 3).path, ES_URL="", ES_URL_FILE=in_file(tmp_path / "secrets", url),
        ES_CA_CERTS=secure.known["ES_CA_CERTS"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "marker" not in done.stdout + done.stderr


API_KEY = "bWFya2VyLWlkOm1hcmtlci1rZXk="


@pytest.fixture
def gate(server: NodeInfo) -> Iterator[Gate]:
    """A server that wants an API key (the tests' own cannot make one), before one that wants nothing."""
    with standing(Gate(server.url, f"ApiKey {API_KEY}")) as gate:
        yield gate


@pytest.mark.parametrize("from_file", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_api_key_is_sent_with_every_request_and_appears_nowhere(
    from_file: bool,
    gate: Gate,
    tmp_path: Path,
    home: Path,
    client: elasticsearch.Elasticsearch,
    alias: str,
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 3)
    (tmp_path / "secrets").mkdir()
    given = {"ES_API_KEY_FILE": in_file(tmp_path / "secrets", API_KEY)} if from_file else {"ES_API_KEY": API_KEY}
    done = ingest("load", repository.path, ES_URL=gate.url, **given)
    assert (done.returncode, done.stderr) == (0, "")
    assert hashes(client, alias) == sorted(repository.hashes())
    assert set(gate.brought) == {f"ApiKey {API_KEY}"}
    value = '$(cat "$ES_API_KEY_FILE")' if from_file else "$ES_API_KEY"
    assert f"""curl -H @<(echo "Authorization: ApiKey {value}") '{gate.url}/{alias}/_count""" in done.stdout
    assert API_KEY not in done.stdout
    assert files_that_hold(home, API_KEY) == []


def test_an_api_key_that_is_not_accepted(gate: Gate, tmp_path: Path, ingest: Run) -> None:
    done = ingest("load", tmp_path, ES_URL=gate.url, ES_API_KEY="bm90OnRoaXM=")
    assert "bm90OnRoaXM=" not in one_line(done, 5, gate.url, "does not accept the credentials", "ES_API_KEY")
    assert gate.brought == ["ApiKey bm90OnRoaXM="]


def test_credentials_that_travel_unencrypted_are_told_once(
    server: NodeInfo, tmp_path: Path, alias: str, ingest: Run
) -> None:
    # An address of this machine that is none of loopback's.
    url = server.url.replace("127.0.0.1", "0.0.0.0")  # noqa: S104 - nothing is bound
    done = ingest("load", linear(tmp_path / "repository", 3).path, ES_URL=url, ES_API_KEY=API_KEY)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line == (
        f"ingest: What lets us in travels to {url} unencrypted, and others on the way can read it: use https"
    )
    assert ingest("status", ES_URL=url).stderr == ""


def test_which_ways_are_unprotected() -> None:
    protected = ("https://h:1", "http://localhost:1", "http://127.9.9.9:1", "http://[::1]:1", "http://a.localhost:1")
    assert connection.unprotected(protected, credentials=True) == []
    others = ("http://10.0.0.1:1", "http://localhost.example.org:1", "http://[fe80::1]:1")
    assert connection.unprotected(others, credentials=True) == list(others)
    assert connection.unprotected(others, credentials=False) == []
    assert connection.unprotected(("http://u:p@h:1", "http://u:p@localhost:1"), credentials=False) == ["http://h:1"]


@pytest.mark.parametrize(
    "url", ["https://h:9200/?verify_certs=false", "https://h:9200#x", "https://u:1/2@h:9200", "https://u:1\\2@h:9200",
            "https://u:p?q@h:9200", "https://u:p#q@h:9200", "https://u:p@h:9200,https://other:9200"]
)  # fmt: skip
def test_a_url_with_what_has_no_place_in_it(url: str) -> None:
    with pytest.raises(ValueError, match="its URLs"):
        urls(url)


@pytest.fixture
def behind(secure: Secure) -> Iterator[elasticsearch.Elasticsearch]:
    """A client that may do everything."""
    with connection.connect(
        (secure.info.url,), username="loader", password=PASSWORD, ca_certs=secure.known["ES_CA_CERTS"]
    ) as client:
        yield client


def rejecting(client: elasticsearch.Elasticsearch, alias: str) -> None:
    """Make an index of ours that rejects every commit."""
    other = mapping()
    other["properties"]["subject"] = {"type": "long"}
    client.indices.create(index=f"{alias}-1", mappings=other, aliases={alias: {}})


@pytest.mark.slow
def test_the_role_of_the_readme_is_enough_for_everything(
    secure: Secure,
    behind: elasticsearch.Elasticsearch,
    tmp_path: Path,
    alias: str,
    home: Path,
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 3)
    rejecting(behind, alias)
    assert ingest("load", repository.path, **secure.least).returncode == 3
    (rejects,) = (home / "rejects").iterdir()
    assert ingest("replay", rejects, **secure.least).returncode == 3
    behind.indices.delete(index=list(behind.indices.get(index=f"{alias}*")))

    assert ingest("load", repository.path, **secure.least).returncode == 0
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    commands = (["load", repository.path], ["verify"], ["verify", "--repair"], ["reindex", "--keep", "0"], ["status"],
                ["report", "--out", tmp_path / "report.html"], *LOOKING)  # fmt: skip
    for command in commands:
        done = ingest(*command, **secure.least)
        assert (done.returncode, done.stderr) == (0, "")
    assert len(documents(behind, alias)) == 2


# What misses the privilege first, and among which privileges the server names it.
MISSED = [("manage", "load", "manage,all"), ("manage", "reindex", "manage,all"), ("read", "load", "read,all"),
          ("read", "verify", "read,all"), ("read", "status", "read,all"), ("index", "load", "index,write,all"),
          ("index", "reindex", "index,write,all"), ("delete", "load", "delete,write,all")]  # fmt: skip


def test_each_privilege_of_the_role_is_missed() -> None:
    assert {privilege for privilege, _, _ in MISSED} == set(PRIVILEGES)


@pytest.mark.parametrize(
    ("privilege", "command", "named"),
    [pytest.param(*each, marks=() if each[:2] == ("manage", "load") else pytest.mark.slow) for each in MISSED],
)
def test_less_than_the_role_fails_with_its_name_and_changes_nothing(
    privilege: str,
    command: str,
    named: str,
    secure: Secure,
    behind: elasticsearch.Elasticsearch,
    tmp_path: Path,
    alias: str,
    ingest: Run,
) -> None:
    repository = linear(tmp_path / "repository", 3)
    assert ingest("load", repository.path, **secure.least).returncode == 0
    before, index = documents(behind, alias), behind.indices.get(index=f"{alias}*", features=["aliases", "settings"])
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    done = ingest(command, INGEST_REPO=str(repository.path), **secure.without(privilege))
    one_line(done, 5, "403", f"{named}]", "will not help")
    after = documents(behind, alias)
    assert after.keys() == before.keys()
    # Who may only not delete, writes what is to be written again: here, a ref has moved.
    assert after == before or privilege == "delete"
    assert behind.indices.get(index=f"{alias}*", features=["aliases", "settings"]) == index
    assert ingest("load", repository.path, **secure.least).returncode == 0
    assert len(documents(behind, alias)) == 2


@pytest.mark.slow
def test_a_reindex_that_may_delete_no_document_ends_all_the_same(
    secure: Secure, behind: elasticsearch.Elasticsearch, tmp_path: Path, alias: str, ingest: Run
) -> None:
    assert ingest("load", linear(tmp_path / "repository", 3).path, **secure.least).returncode == 0
    done = ingest("reindex", "--keep", "0", **secure.without("delete"))
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "older indices could not be removed" in line
    assert "delete,write,all]" in line
    assert len(documents(behind, alias)) == 3


@pytest.mark.slow
def test_the_role_of_those_who_look_shows_the_status_and_writes_nothing(
    secure: Secure, tmp_path: Path, ingest: Run
) -> None:
    repository = linear(tmp_path / "repository", 3)
    assert ingest("load", repository.path, **secure.least).returncode == 0
    for command in (["status"], ["report", "--out", tmp_path / "report.html"]):
        done = ingest(*command, **secure.looker)
        assert (done.returncode, done.stderr) == (0, "")
        assert "3 commits of 1 repository" in done.stdout
    one_line(ingest("load", repository.path, **secure.looker), 5, "forbids it", "privileges")


@pytest.mark.slow
def test_who_may_only_read_can_search_and_nothing_else(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    repository = linear(tmp_path / "repository", 3)
    assert ingest("load", repository.path, **secure.least).returncode == 0
    for command in (*LOOKING, ["show", repository.head()]):
        done = ingest(*command, **secure.reader)
        assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr)
        assert done.stdout
    one_line(ingest("load", repository.path, **secure.reader), 5, "forbids it", "privileges")
    one_line(ingest("search", **secure.reader, INGEST_INDEX="t-none"), 2, "t-none does not exist")
    one_line(ingest("search", **secure.powerless), 5, "forbids it", "privileges")


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


@pytest.mark.parametrize("trusted", ["stranger.pem", ""])
def test_a_certificate_that_nobody_here_trusts_is_refused_whatever_the_environment_says(
    trusted: str, secure: Secure, tmp_path: Path, ingest: Run
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    odd = {"PYTHONHTTPSVERIFY": "0", "REQUESTS_CA_BUNDLE": secure.known["ES_CA_CERTS"], "CURL_CA_BUNDLE": "",
           "ES_VERIFY_CERTS": "false", "PYTHONWARNINGS": "ignore"}  # fmt: skip
    given = {"ES_CA_CERTS": trusted and str(tmp_path / trusted)}
    if trusted:
        # With a file of one's own, not even the system's authorities count.
        given["SSL_CERT_FILE"] = secure.known["ES_CA_CERTS"]
    done = ingest("load", tmp_path, **secure.known | odd | given)
    one_line(done, 5, "No trusted connection", "certificate verify failed", "ES_CA_CERTS")


def test_without_a_file_of_ones_own_the_authorities_of_the_system_count(
    secure: Secure, tmp_path: Path, ingest: Run
) -> None:
    system = {"ES_CA_CERTS": "", "SSL_CERT_FILE": secure.known["ES_CA_CERTS"]}
    done = ingest("load", linear(tmp_path / "repository", 1).path, **secure.known | system)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "days", "words"), [("127.0.0.1", -1, "certificate has expired"),
                                                     ("search.example.org", 1, "127.0.0.1")])  # fmt: skip
def test_a_certificate_that_does_not_count_is_refused_before_anything_is_sent(
    name: str, days: int, words: str, server: NodeInfo, tmp_path: Path, ingest: Run
) -> None:
    authority, now = trustme.CA(), datetime.now(UTC)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    end = now + timedelta(days=days)
    certificate = authority.issue_cert(name, not_before=end - timedelta(days=30), not_after=end)
    with standing(Gate(server.url, f"ApiKey {API_KEY}"), certificate) as gate:
        done = ingest("load", tmp_path, ES_URL=gate.url, ES_API_KEY=API_KEY, ES_CA_CERTS=str(tmp_path / "ca.pem"))
    one_line(done, 5, "No trusted connection", words)
    assert gate.brought == []


@pytest.mark.slow
def test_the_same_certificate_counts_while_it_does(server: NodeInfo, tmp_path: Path, ingest: Run) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with standing(Gate(server.url, f"ApiKey {API_KEY}"), authority.issue_cert("127.0.0.1")) as gate:
        done = ingest("load", linear(tmp_path / "repository", 1).path, ES_URL=gate.url, ES_API_KEY=API_KEY,
                      ES_CA_CERTS=str(tmp_path / "ca.pem"))  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("status", [301, 308])
def test_a_redirection_is_not_followed(status: int, gate: Gate, server: NodeInfo, tmp_path: Path, ingest: Run) -> None:
    with standing(Gate(server.url, "nothing", (200, "elsewhere"))) as elsewhere:
        gate.complaint, gate.location = (status, "go there"), f"{elsewhere.url}/x"
        one_line(ingest("load", tmp_path, ES_URL=gate.url, ES_API_KEY="bm90OnRoaXM="), 5, gate.url, str(status))
    assert elsewhere.brought == []


def test_no_setting_turns_the_check_off() -> None:
    for ca_certs in ("/nowhere", "False"):
        with pytest.raises(UsageError, match="cannot be used"):
            connection.connect(("https://h:9200",), ca_certs=ca_certs)
    (node,) = connection.connect(("https://h:9200",)).transport.node_pool.all()
    assert node.config.verify_certs is True
    assert node.pool.conn_kw["ssl_context"].verify_mode == ssl.CERT_REQUIRED  # type: ignore[attr-defined]
    assert node.pool.conn_kw["ssl_context"].check_hostname is True  # type: ignore[attr-defined]


def test_plain_http_to_a_port_that_speaks_tls(secure: Secure, tmp_path: Path, ingest: Run) -> None:
    done = ingest("load", tmp_path, ES_URL=secure.info.url.replace("https", "http"))
    one_line(done, 5, "127.0.0.1")
