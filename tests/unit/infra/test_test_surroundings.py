"""What every other test relies on: no network, a database of its own, a server that goes away."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from pytest_socket import SocketConnectBlockedError


def test_network_beyond_the_allowed_addresses_is_blocked() -> None:
    # 127.0.0.2 is not on the list but is this machine: were the block broken, nothing would leave.
    # The block also warns, and a warning is an error here.
    with (
        socket.socket() as client,
        pytest.warns(UserWarning, match="tried to use"),
        pytest.raises(SocketConnectBlockedError),
    ):
        client.connect(("127.0.0.2", 9))


def test_loopback_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("again", [1, 2])
def test_database_is_empty_and_works(database_url: str, again: int) -> None:
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        assert sqlalchemy.inspect(connection).get_table_names() == []
        connection.execute(sqlalchemy.text("CREATE TABLE things (name VARCHAR(20))"))
        connection.execute(sqlalchemy.text("INSERT INTO things VALUES ('长春')"))
        assert connection.execute(sqlalchemy.text("SELECT name FROM things")).scalar_one() == "长春"
    engine.dispose()


HOLDER = """
import sys
sys.path.insert(0, {root!r})
from tests.fixtures_postgres import find_binaries, running_postgres
with running_postgres(find_binaries()) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    # Unlike tmp_path, the user postgres can reach it.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_postgres_dies_with_a_killed_run(postgres_url: str, open_folder: Path) -> None:
    root = str(Path(__file__).parents[3])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(root=root)],
        env={**os.environ, "TMPDIR": str(open_folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    port = int(holder.stdout.readline().rsplit(":", 1)[1].split("/")[0])
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    # The server closes what is open when it dies; no data ever comes from it before we speak.
    with connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
