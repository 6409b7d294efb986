"""Real clusters for the tests: three nodes of MariaDB Galera, and PostgreSQL with a synchronous standby.

They run on loopback as an account without rights, like the servers of `servers`, and their nodes can be killed, cut
off from the others, and brought back.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pymysql
import sqlalchemy
from servers import MariaDB, MissingServerError, PostgreSQL, Server, free_port

NODES: Final = 3
JOIN_SECONDS: Final = 90
NOTICE_SECONDS: Final = 15
RECOVERIES: Final = 3
GALERA_LIBRARIES: Final = ("lib/galera/libgalera_smm.so", "lib/libgalera_smm.so", "lib64/galera-4/libgalera_smm.so")


class GaleraNode(MariaDB):
    """One node of a Galera cluster."""

    def __init__(self, name: str) -> None:
        super().__init__()
        provider = next((self.root / path for path in GALERA_LIBRARIES if (self.root / path).exists()), None)
        if provider is None or shutil.which("rsync") is None:
            shutil.rmtree(self.base, ignore_errors=True)
            raise MissingServerError("Galera is not installed: apt-get install mariadb-server galera-4 rsync")
        self.name = name
        self.provider = provider
        self.group_port, self.increment_port, self.copy_port = free_port(), free_port(), free_port()
        self.addresses = ""
        self.first = False
        self.position: str | None = None

    def command(self) -> list[str]:
        """See `Server.command`."""
        options = (
            f"gmcast.listen_addr=tcp://127.0.0.1:{self.group_port};ist.recv_addr=127.0.0.1:{self.increment_port};"
            "gcache.size=32M;gcache.recover=yes;pc.recovery=no;evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT2S;"
            "evs.inactive_timeout=PT4S;evs.install_timeout=PT2S;evs.join_retrans_period=PT0.3S;"
            "evs.inactive_check_period=PT0.5S"
        )
        command = [
            *super().command(), "--binlog-format=ROW", "--default-storage-engine=InnoDB",
            "--innodb-autoinc-lock-mode=2", "--innodb-flush-log-at-trx-commit=2", "--wsrep-on=ON",
            f"--wsrep-provider={self.provider}", "--wsrep-cluster-name=tests", f"--wsrep-node-name={self.name}",
            "--wsrep-node-address=127.0.0.1", f"--wsrep-cluster-address=gcomm://{self.addresses}",
            "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{self.copy_port}",
            f"--wsrep-provider-options={options}",
        ]  # fmt: skip
        if self.first:
            command.append("--wsrep-new-cluster")
        if self.position is not None:
            command.append(f"--wsrep-start-position={self.position}")
        return command

    def status(self) -> dict[str, str]:
        """Returns what the node says of its cluster."""
        return dict(self.administer("SHOW GLOBAL STATUS LIKE 'wsrep%'"))

    def wait_for(self, size: int) -> None:
        """Returns when the node is in step with a cluster of so many nodes."""
        deadline = time.monotonic() + JOIN_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
                now = self.status()
                if (now["wsrep_local_state_comment"], now["wsrep_ready"]) == ("Synced", "ON") and (
                    int(now["wsrep_cluster_size"]) == size
                ):
                    return
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise TimeoutError(f"node {self.name} is not in a cluster of {size}:\n{self.log()}")

    def find_position(self) -> None:
        """Reads up to which write set the files go, so that only what is missing has to be sent.

        The server says it once it has put its files right, and may crash behind that: one of its threads for the
        background can meet tables that are closed already.
        """
        command = [*(part for part in self.command() if "wsrep-start" not in part), "--wsrep-recover"]
        for _ in range(RECOVERIES):
            said = self.attempt(*command).stderr
            if found := re.search(rb"Recovered position:? *([0-9a-f-]{36}:-?\d+)", said):
                self.position = found[1].decode()
                return
        raise RuntimeError(f"node {self.name} does not find its position: {said.decode(errors='replace')[-2000:]}")


class Galera:
    """A cluster of three nodes, each of which takes writes."""

    def __init__(self) -> None:
        self.nodes = [GaleraNode(f"n{number}") for number in range(NODES)]
        addresses = ",".join(f"127.0.0.1:{node.group_port}" for node in self.nodes)
        for node in self.nodes:
            node.addresses = addresses

    def start(self) -> None:
        """Starts the nodes, the first alone: the others get its files, and then only what came since."""
        first, *others = self.nodes
        first.initialize()
        first.first = True
        first.start()
        first.wait_for(1)
        first.stop()
        first.run("rm", "-f", first.data / "gvwstate.dat", first.data / "galera.cache")
        for node in others:
            node.run("cp", "-a", first.data, node.data)
        first.start()
        first.wait_for(1)
        first.first = False
        for size, node in enumerate(others, start=2):  # one by one: two that join at once split and merge for long
            node.start()
            node.wait_for(size)
            first.wait_for(size)

    def restart(self, number: int, size: int = NODES) -> None:
        """Brings a killed node back, once the others have noticed that it went."""
        node = self.nodes[number]
        other = next(one for one in self.nodes if one is not node and one.process is not None)
        deadline = time.monotonic() + NOTICE_SECONDS
        while time.monotonic() < deadline and int(other.status()["wsrep_cluster_size"]) >= size:
            time.sleep(0.1)
        node.find_position()
        node.start()
        node.wait_for(size)

    def isolate(self, number: int, *, cut: bool = True) -> None:
        """Cuts a node off from the others, or connects it again; it still takes connections, and answers 1047."""
        # By the driver alone: SQLAlchemy begins with a ROLLBACK, which such a node refuses.
        with (
            contextlib.closing(
                pymysql.connect(host="127.0.0.1", port=self.nodes[number].port, user="root", autocommit=True)
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"SET GLOBAL wsrep_provider_options='gmcast.isolate={int(cut)}'")

    def url(self, database: str, *numbers: int) -> str:
        """Returns the URL of a database on some of the nodes, all of them if none is named, the preferred one first."""
        nodes = [self.nodes[number] for number in (numbers or range(NODES))]
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in nodes)
        return f"mysql+pymysql://root@/{database}?charset=utf8mb4&{hosts}"

    def close(self) -> None:
        """Ends all nodes and removes their files."""
        for node in self.nodes:
            node.close()


@contextlib.contextmanager
def galera() -> Iterator[Galera]:
    """A Galera cluster. Raises `MissingServerError` if this machine has none."""
    cluster = Galera()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


class Standby(PostgreSQL):
    """A PostgreSQL server that follows another, or is followed."""

    def __init__(self, name: str, settings: tuple[str, ...]) -> None:
        super().__init__(durable=True, settings=settings)
        self.name = name

    def conninfo(self, application: str) -> str:
        """Returns how another server connects to this one."""
        return f"host=127.0.0.1 port={self.port} user=postgres application_name={application}"

    def write_settings(self) -> None:
        """Puts the settings into the file too, where pg_rewind's own recovery reads them."""
        self.run("tee", "-a", self.data / "postgresql.conf", input="\n".join(self.settings).encode())


class PostgreSQLPair:
    """A primary, and a standby that has each commit before its client hears of it (unless ``synchronous`` is false).

    Attributes:
        primary: Which of the two is the primary now.
    """

    def __init__(self, *, synchronous: bool = True) -> None:
        settings = ("max_wal_senders=4", "wal_keep_size=256MB", "shared_buffers=32MB", "wal_log_hints=on",
                    "wal_receiver_status_interval=1s", "wal_retrieve_retry_interval=200ms", "fsync=off")  # fmt: skip
        self.nodes = [Standby(f"n{number}", settings) for number in range(2)]
        self.synchronous = synchronous
        self.primary = 0

    def start(self) -> None:
        """Starts both."""
        first, second = self.nodes
        first.initialize()
        first.write_settings()
        first.start()
        second.run(second.binaries / "pg_basebackup", "-D", second.data, "-d", first.conninfo(second.name), "-c",
                   "fast", "-X", "stream", "-R", "-N")  # fmt: skip
        second.start()
        self._wait_for_the_standby()

    def _wait_for_the_standby(self) -> None:
        primary = self.nodes[self.primary]
        if self.synchronous:
            names = ", ".join(node.name for node in self.nodes)
            primary.administer(f"ALTER SYSTEM SET synchronous_standby_names TO 'FIRST 1 ({names})'")
            primary.administer("SELECT pg_reload_conf()")
        state = "sync" if self.synchronous else "async"
        deadline = time.monotonic() + JOIN_SECONDS
        while not primary.administer(
            f"SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{state}'"
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the standby does not follow:\n{self.nodes[1 - self.primary].log()}")
            time.sleep(0.02)

    def kill_primary(self) -> None:
        """Ends the primary at once."""
        self.nodes[self.primary].kill()

    def stop_sending(self) -> None:
        """Stops the process that sends to the standby, so that a standby which is not waited for surely lags."""
        import os

        [(pid,)] = self.nodes[self.primary].administer("SELECT pid FROM pg_stat_replication")
        os.kill(pid, signal.SIGSTOP)

    def promote(self) -> None:
        """Makes the standby the primary; alone it must not wait for a standby, or its commits would hang."""
        self.primary = 1 - self.primary
        node = self.nodes[self.primary]
        node.administer("SELECT pg_promote(true, 30)")
        node.administer("ALTER SYSTEM SET synchronous_standby_names TO ''")
        node.administer("SELECT pg_reload_conf()")

    def rejoin(self) -> None:
        """Brings the killed node back as the standby; what it alone had is taken back."""
        node, primary = self.nodes[1 - self.primary], self.nodes[self.primary]
        primary.administer("CHECKPOINT")  # pg_rewind reads the new timeline from the control file
        node.run(node.binaries / "pg_rewind", "-D", node.data, "--source-server",
                 f"{primary.conninfo('rewind')} dbname=postgres", "-R", "-N")  # fmt: skip
        conf = node.data / "postgresql.auto.conf"
        text = re.sub(r"application_name=\w+", f"application_name={node.name}", Path(conf).read_text())
        node.run("tee", conf, input=text.encode())
        node.start()
        self._wait_for_the_standby()

    def url(self, database: str) -> str:
        """Returns a URL with both hosts, of which the driver takes the one that can be written."""
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in self.nodes)
        options = "target_session_attrs=read-write&connect_timeout=2"
        return f"postgresql+psycopg://postgres@/{database}?{hosts}&{options}"

    def close(self) -> None:
        """Ends both and removes their files."""
        for node in self.nodes:
            node.close()


@contextlib.contextmanager
def postgresql_pair(*, synchronous: bool = True) -> Iterator[PostgreSQLPair]:
    """A PostgreSQL primary with its standby. Raises `MissingServerError` if this machine has none."""
    pair = PostgreSQLPair(synchronous=synchronous)
    try:
        pair.start()
        yield pair
    finally:
        pair.close()


def new_database(server: Server) -> str:
    """Makes an empty database on a node of a cluster and returns its name."""
    made: Any = sqlalchemy.make_url(server.new_database()).database
    return str(made)


class AutoFailover:
    """Two PostgreSQL servers and the monitor of pg_auto_failover, which promotes the standby when the primary dies."""

    def __init__(self) -> None:
        self.programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
        if shutil.which("pg_autoctl") is None or self.programs is None:
            raise MissingServerError(
                "pg_auto_failover is not installed: apt-get install pg-auto-failover-cli postgresql-15-auto-failover"
            )
        self.parts = [_AutoNode(name, self.programs) for name in ("monitor", "n0", "n1")]
        self.monitor, *self.nodes = self.parts

    def start(self) -> None:
        """Starts the monitor, then the nodes, and waits until commits wait for the standby."""
        self.monitor.spawn("create", "monitor")
        self.monitor.wait_until_it_answers()
        for name, value in (("health_check_period", 1000), ("health_check_retry_delay", 500),
                            ("node_considered_unhealthy_timeout", 3000), ("startup_grace_period", 2000)):  # fmt: skip
            self.monitor.administer(f"ALTER SYSTEM SET pgautofailover.{name} TO {value}")
        self.monitor.administer("SELECT pg_reload_conf()")
        monitor = f"postgres://autoctl_node@127.0.0.1:{self.monitor.port}/pg_auto_failover"
        for node in self.nodes:
            node.spawn("create", "postgres", "--username", "postgres", "--monitor", monitor, "--name", node.name)
            node.wait_until_it_answers()
        self.wait_for("primary", "secondary")

    def states(self) -> dict[str, str]:
        """Returns the state of each node, by its name, as the monitor knows it."""
        rows = self.monitor.administer(
            "SELECT nodename, reportedstate::text FROM pgautofailover.node", "pg_auto_failover"
        )
        return dict(rows)

    def wait_for(self, *states: str) -> None:
        """Returns when the nodes are in these states."""
        deadline = time.monotonic() + JOIN_SECONDS
        while sorted(self.states().values()) != sorted(states):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the nodes are {self.states()}, not {states}:\n{self.nodes[0].log()}")
            time.sleep(0.2)

    def kill_primary(self) -> _AutoNode:
        """Kills the primary with its keeper at once, and returns it."""
        name = next(name for name, state in self.states().items() if state == "primary")
        node = next(node for node in self.nodes if node.name == name)
        node.kill()
        return node

    def new_database(self) -> str:
        """Makes an empty database and returns its name."""
        primary = next(name for name, state in self.states().items() if state == "primary")
        node = next(node for node in self.nodes if node.name == primary)
        name = f"t{time.monotonic_ns()}"
        node.administer(f"CREATE DATABASE {name}")
        return name

    def url(self, database: str) -> str:
        """Returns a URL with both hosts, of which the driver takes the one that can be written."""
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in self.nodes)
        options = "target_session_attrs=read-write&connect_timeout=2"
        return f"postgresql+psycopg://postgres@/{database}?{hosts}&{options}"

    def close(self) -> None:
        """Ends all and removes their files."""
        for part in reversed(self.parts):
            part.close()


class _AutoNode(Server):
    """A server that pg_autoctl makes, starts and keeps running."""

    def __init__(self, name: str, programs: Path) -> None:
        super().__init__(durable=True, account="postgres")  # the only one that may write Debian's folder of sockets
        self.name = name
        self.data = self.base / "data"
        self.environment |= {
            "PATH": f"{programs}:/usr/bin:/bin", "XDG_CONFIG_HOME": str(self.base / "config"),
            "XDG_DATA_HOME": str(self.base / "share"), "XDG_RUNTIME_DIR": str(self.base / "run"),
        }  # fmt: skip
        self._words: tuple[str, ...] = ()
        self.run("mkdir", *(self.base / folder for folder in ("config", "share", "run")))

    def spawn(self, *words: str) -> None:
        """Starts pg_autoctl, which makes the server first if it has not."""
        self._words = words
        self.start_process()

    def command(self) -> list[str]:
        """See `Server.command`."""
        if not self._words:
            return ["pg_autoctl", "run", "--pgdata", str(self.data)]
        return ["pg_autoctl", *self._words[:2], "--pgdata", str(self.data), "--pgport", str(self.port), "--hostname",
                "127.0.0.1", "--auth", "trust", "--no-ssl", *self._words[2:], "--run"]  # fmt: skip

    def url(self, database: str | None = None, *, driver: bool = True) -> str:
        """See `Server.url`."""
        # The monitor's owner is the account that it runs as.
        user = getpass.getuser() if self.name == "monitor" and not self.account else "postgres"
        return f"postgresql{'+psycopg' * driver}://{user}@127.0.0.1:{self.port}/{database or 'postgres'}"

    def wait_until_it_answers(self) -> None:
        """Returns when the server takes connections."""
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            try:
                self.administer("SELECT 1")
                return
            except sqlalchemy.exc.SQLAlchemyError:
                if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                    raise TimeoutError(f"{self.name} does not answer:\n{self.log()}") from None
                time.sleep(0.1)

    def restart(self) -> None:
        """Has pg_autoctl start the server again after a kill."""
        self.run("rm", "-f", self.data / "postmaster.pid")
        self._words = ()
        self.start_process()


@contextlib.contextmanager
def auto_failover() -> Iterator[AutoFailover]:
    """PostgreSQL under pg_auto_failover. Raises `MissingServerError` if this machine has none."""
    cluster = AutoFailover()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
