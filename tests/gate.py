"""What stands before a server: asks for a key, writes down what it was sent, and may misbehave."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import orjson
import trustme
import urllib3


@dataclass
class Gate:
    """Hands requests on to a server that asks for nothing, if they bring what is wanted.

    :ivar wanted: the ``Authorization`` of those that are let through
    :ivar complaint: status and words of the answer to all others; in the words, ``{sent}`` is what they brought
    :ivar kind: of the complaint's body
    :ivar location: where the complaint sends them
    :ivar brought: what was brought, request for request
    """

    server: str
    wanted: str
    complaint: tuple[int, str] = (401, "unable to authenticate with provided credentials")
    kind: str = "application/json"
    location: str | None = None
    url: str = ""
    brought: list[str | None] = field(default_factory=list)

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        gate, pool = self, urllib3.PoolManager()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                gate.brought.append(self.headers.get("Authorization"))
                if gate.brought[-1] != gate.wanted:
                    self.complain()
                    return
                kept = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
                answer = pool.request(self.command, gate.server + self.path, body=body, headers=kept)
                self.answer(answer.status, dict(answer.headers), answer.data)

            def complain(self) -> None:
                status, words = gate.complaint
                words = words.format(sent=gate.brought[-1])
                cause = {"type": "security_exception", "reason": words}
                body = orjson.dumps({"error": {"root_cause": [cause], **cause}, "status": status})
                headers = {"Content-Type": gate.kind, "X-Elastic-Product": "Elasticsearch"}
                if gate.location is not None:
                    headers["Location"] = gate.location
                self.answer(status, headers, body if gate.kind == "application/json" else words.encode())

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status, HTTPStatus(status).phrase)
                for name, value in headers.items():
                    if name.lower() in ("content-type", "x-elastic-product", "location"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        return Handler


@contextmanager
def standing(gate: Gate, certificate: trustme.LeafCert | None = None) -> Iterator[Gate]:
    """Open a gate, behind TLS if there is a certificate, and set its URL."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Who does not trust us hangs up."""

    with Server(("127.0.0.1", 0), gate.handler()) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever).start()
        gate.url = f"http{'' if certificate is None else 's'}://127.0.0.1:{server.server_port}"
        yield gate
        server.shutdown()


def in_file(folder: Path, text: str) -> str:
    """The path of a new file that holds a secret, as a mount would give it."""
    file = folder / f"secret-{len(list(folder.iterdir()))}"
    file.write_text(f"{text}\n")
    return str(file)
