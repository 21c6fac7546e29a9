"""A way to a server on which connections break off."""

import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Breaking:
    """Passes bytes on, and resets a connection after some of them, wherever that is: in a request, or in a response.

    Or it goes silent there, and keeps the connection.

    :param begin: nothing breaks before a request that holds these bytes
    :param nearest: fewest bytes of the requests, and of the responses, of a connection
    :param furthest: most bytes of them
    :param silent: go silent
    :ivar cuts: how often it broke
    """

    server: tuple[str, int]
    begin: bytes
    nearest: tuple[int, int]
    furthest: tuple[int, int]
    chance: random.Random
    silent: bool = False
    cuts: int = 0
    _begun: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self.server)
                left = [self.chance.randint(*bounds) for bounds in zip(self.nearest, self.furthest, strict=True)]
                for direction, (source, target) in enumerate([(near, far), (far, near)]):
                    threading.Thread(target=self._pass, args=(source, target, left, direction), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, left: list[int], direction: int) -> None:
        with suppress(OSError):
            while piece := source.recv(4096):
                if self.begin in piece:
                    self._begun.set()
                if self._begun.is_set():
                    left[direction] -= len(piece)
                    if left[direction] < 0:
                        target.sendall(piece[: left[direction]])
                        self.cuts += 1
                        if self.silent:
                            return
                        break
                target.sendall(piece)
        for end in (source, target):
            _reset(end)


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        # Not a polite end, but what a dead host, or a firewall, leaves.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def breaking(
    url: str,
    begin: bytes,
    furthest: tuple[int, int],
    seed: int = 0,
    nearest: tuple[int, int] = (1, 1),
    *,
    silent: bool = False,
) -> Iterator[tuple[str, Breaking]]:
    """Put a `Breaking` before the server at `url`, and give the URL to use instead."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    way = Breaking((parts.hostname, parts.port), begin, nearest, furthest, random.Random(seed), silent)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=way.serve, args=(listener,), daemon=True).start()
        yield parts._replace(netloc=f"127.0.0.1:{listener.getsockname()[1]}").geturl(), way
        listener.shutdown(socket.SHUT_RDWR)
