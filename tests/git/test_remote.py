import pytest

from ingest.errors import UsageError
from ingest.git.remote import Remote


@pytest.mark.parametrize(
    ("repository", "origin", "username", "password"),
    [
        ("https://github.com/org/repo", "https://github.com/org/repo", None, None),
        ("https://token@github.com/org/repo", "https://github.com/org/repo", "token", None),
        ("https://me:p%40ss@host:8443/r.git", "https://host:8443/r.git", "me", "p@ss"),
        ("HTTPS://me:x@host/r", "https://host/r", "me", "x"),
        ("ssh://git@host:22/r.git", "ssh://git@host:22/r.git", None, None),
        ("ssh://git:secret@host/r.git", "ssh://git@host/r.git", None, None),
        ("git@host:org/repo.git", "git@host:org/repo.git", None, None),
        ("host:org/repo.git", "host:org/repo.git", None, None),
        ("git://host/r.git", "git://host/r.git", None, None),
        ("file:///srv/r.git", "file:///srv/r.git", None, None),
        ("/srv/./r.git/", "/srv/r.git", None, None),
    ],
)
def test_an_address_is_taken_apart(repository: str, origin: str, username: str | None, password: str | None) -> None:
    remote = Remote.parse(repository)
    assert (remote.origin, remote.username, remote.password) == (origin, username, password)


@pytest.mark.parametrize(
    "repository", ["", "-x", "--upload-pack=x", "ext::sh", "ftp://h/r", "-oProxyCommand=x:r", "a\0b", "a\nb"]
)
def test_what_is_no_address_is_refused(repository: str) -> None:
    with pytest.raises(UsageError):
        Remote.parse(repository)


def test_names_are_readable_and_unique() -> None:
    one, two = Remote.parse("https://github.com/org/repo"), Remote.parse("ssh://github.com/org/repo")
    assert one.name.startswith("github.com-org-repo-")
    assert one.name != two.name


def test_a_remote_shown_in_a_log_holds_no_secret() -> None:
    assert "hunter2" not in repr(Remote.parse("https://hunter2:hunter2@h/r"))
