"""A node with security on: TLS by an authority of its own, users and roles from files."""

import base64
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import trustme

from ingest.node import Node
from tests.conftest import free_port
from tests.node.conftest import JVM_OPTIONS
from tests.node_cache import node_cache


def hashed(password: str) -> str:
    """A password as the file realm keeps it."""
    salt = os.urandom(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 10_000, 32)
    return "{PBKDF2}10000$" + base64.b64encode(salt).decode() + "$" + base64.b64encode(key).decode()


def secure_node(home: Path, users: Mapping[str, tuple[str, str]], roles: str = "") -> tuple[Node, Path]:
    """Make a node that asks for a password and speaks TLS, and the file of the authority that vouches for it.

    :param users: password and role of each user
    :param roles: what stands in ``roles.yml``
    """
    config = home / "node" / "config"
    config.mkdir(parents=True)
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(str(config / "http.key"))
    certificate.cert_chain_pems[0].write_to_path(str(config / "http.crt"))
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    lines = [f"{name}:{hashed(password)}\n" for name, (password, _) in users.items()]
    (config / "users").write_text("".join(lines))
    (config / "users_roles").write_text("".join(f"{role}:{name}\n" for name, (_, role) in users.items()))
    (config / "roles.yml").write_text(roles)
    node = Node(
        home,
        heap="256m",
        cache=node_cache(),
        jvm_options=JVM_OPTIONS,
        port=free_port(),
        config={
            "xpack.security.enabled": "true",
            "xpack.security.http.ssl.enabled": "true",
            "xpack.security.http.ssl.key": "http.key",
            "xpack.security.http.ssl.certificate": "http.crt",
        },
    )
    return node, home / "ca.pem"
