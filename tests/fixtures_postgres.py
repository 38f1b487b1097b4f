"""A real PostgreSQL for the run: started once, loopback only, gone with the test process; and a database a test."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


READY = "database system is ready to accept connections"
# Durability is worth nothing here, and the socket folder of Debian is not ours to write.
SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "unix_socket_directories=",
    "max_connections=60",
)


def find_binaries() -> Path | None:
    """Give Debian's newest PostgreSQL program folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _as_postgres() -> list[str]:
    # PostgreSQL refuses to run as root. The server dies with the test process even when that is killed.
    user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig", "QUIT"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(binaries: Path, data: Path) -> tuple[subprocess.Popen[str], int]:
    said: deque[str] = deque(maxlen=20)
    # Another process may take the free port before the server binds it.
    for _ in range(5):
        port = _free_port()
        command = [*_as_postgres(), str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port)]
        for setting in SETTINGS:
            command += ["-c", setting]
        server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        for line in server.stderr:
            said.append(line)
            if READY in line:
                # A full pipe would stop the server.
                threading.Thread(target=deque, args=(server.stderr, 0), daemon=True).start()
                return server, port
        server.wait()
    raise RuntimeError("PostgreSQL did not start:\n" + "".join(said))


@contextmanager
def running_postgres(binaries: Path) -> Iterator[str]:
    """Run a server in a folder of its own and give its URL for SQLAlchemy."""
    data = Path(tempfile.mkdtemp(prefix="shuzha-test-postgres-"))
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(data, account.pw_uid, account.pw_gid)
        make = [*_as_postgres(), str(binaries / "initdb"), "-D", str(data / "data"), "-U", "postgres", "-A", "trust"]
        subprocess.run([*make, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], cwd="/", check=True, capture_output=True)
        server, port = _start(binaries, data / "data")
        try:
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a PostgreSQL server that lives as long as the run; skipped only where Debian's package is not installed."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    with running_postgres(binaries) as url:
        yield url


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make an empty database on the server, give its URL, and drop it."""
    import psycopg

    name = f"test_{secrets.token_hex(8)}"
    admin = server_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    try:
        yield server_url.rsplit("/", 1)[0] + f"/{name}"
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, once on SQLite and once on PostgreSQL; the test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'domain.sqlite'}"
        return
    with fresh_database(request.getfixturevalue("postgres_url")) as url:
        yield url
