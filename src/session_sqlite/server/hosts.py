"""The nodes of a cluster: which of them connections go to, and which comes next when one fails.

libpq tries several hosts itself; MySQL's driver knows one. A URL names the nodes as libpq's does:
``mysql+pymysql://user@/database?host=a:3306&host=b:3306``. All connections go to one node, so that a process reads
what it wrote, until that node fails.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from sqlalchemy import URL, event
from sqlalchemy.engine import Connection, Dialect, Engine

DEFAULT_PORT: Final = 3306
CONNECT_SECONDS: Final = 3


class Hosts:
    """The hosts of one URL, of which one is preferred; none where the driver knows several itself.

    Attributes:
        url: The URL without them.
    """

    def __init__(self, url: URL, *, is_used: bool) -> None:
        named = url.query.get("host", ()) if is_used else ()
        self.url = url.difference_update_query(["host"]) if named else url
        self._hosts = [_host_and_port(host) for host in ([named] if isinstance(named, str) else named)]
        self._preferred = 0
        self._lock = threading.Lock()

    def listen(self, engine: Engine) -> None:
        """Has the connections of an engine go to these hosts."""
        if self._hosts:
            event.listen(engine, "do_connect", self._connect)

    def _connect(self, dialect: Dialect, record: Any, args: Any, params: dict[str, Any]) -> Any:
        """Connects to the preferred host, or to the next one that answers."""
        first = self._preferred
        for step in range(len(self._hosts)):
            number = (first + step) % len(self._hosts)
            host, port = self._hosts[number]
            params.update(host=host, port=port, connect_timeout=CONNECT_SECONDS)
            record.info["host"] = number
            try:
                connection = dialect.connect(*args, **params)
            except dialect.loaded_dbapi.Error:
                if step == len(self._hosts) - 1:
                    raise
            else:
                self._preferred = number
                return connection
        return None

    def failed(self, connection: Connection | None) -> None:
        """Prefers the next host, unless another thread has seen the same failure before; None: connecting failed."""
        if not self._hosts:
            return
        with self._lock:
            if connection is None or connection.info.get("host", self._preferred) == self._preferred:
                self._preferred = (self._preferred + 1) % len(self._hosts)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else (text, DEFAULT_PORT)
