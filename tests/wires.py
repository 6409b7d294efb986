"""A way to a server that can be cut, wherever a test wants."""

from __future__ import annotations

import contextlib
import re
import socket
import threading


class Wire:
    """A proxy on loopback that can cut connections, also between a commit and its answer.

    Attributes:
        commits_to_cut: How many of the next commits get no answer.
        round_trips: How many requests went through.
        cut_at: The number of the request at which the connection is cut; 0 for none.
        loses_answers: True if that request reaches the server, and only its answer is lost.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.commits_to_cut = 0
        self.round_trips = 0
        self.cut_at = 0
        self.loses_answers = False
        self._asked = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                upstream = socket.create_connection(("127.0.0.1", self._target))
                self._pairs.append((client, upstream))
                answers_are_lost = threading.Event()
                threading.Thread(target=self._forward, args=(client, upstream, answers_are_lost), daemon=True).start()
                threading.Thread(target=self._back, args=(upstream, client, answers_are_lost), daemon=True).start()

    def _forward(self, client: socket.socket, upstream: socket.socket, answers_are_lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                is_next = not self._asked
                self.round_trips += is_next
                self._asked = True
                if is_next and self.round_trips == self.cut_at:
                    if not self.loses_answers:
                        break
                    answers_are_lost.set()
                if self.commits_to_cut and re.search(b"COMMIT(?!TED)", data):
                    self.commits_to_cut -= 1
                    answers_are_lost.set()
                upstream.sendall(data)
        self._close(client, upstream)

    def _back(self, upstream: socket.socket, client: socket.socket, answers_are_lost: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                if answers_are_lost.is_set():
                    break
                self._asked = False
                client.sendall(data)
        self._close(client, upstream)

    def _close(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()
        for pair in self._pairs:
            self._close(*pair)
