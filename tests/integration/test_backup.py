"""A domain is backed up by command, its machine is lost, and it goes on elsewhere (D10); PostgreSQL; a disk that fills up."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from console.main import main
from jobs.runs import Stage as RunStage
from jobs.runs import get_run, queue
from jobs.states import RunState
from jobs.submitting import submit
from lineage.clock import system_clock
from lineage.errors import DataFileError, DefinitionError, GateRefusedError
from lineage.kinds import Kind
from sandbox import backup, enrolment
from sandbox.access import authenticate
from sandbox.backup_age import Identity
from sandbox.backup_restore import Sources, restore
from sandbox.domain import Domain, create, open_domain
from sandbox.grants import Grant, Zone, get_grant, tables_of, zone_opened
from sandbox.viewing import first_rows
from tests.backups import FIRST, Place, new_recovery_key, verified, with_tables
from tests.factories import Stage, World, walk
from tests.fixtures_domain import WorldAt
from tests.fixtures_postgres import fresh_database
from tests.worlds import Hands, enter_authority, refused


MANIFEST = """
[job]
name = "after-the-fire"
scenario = "SCENARIO"

[inputs]
visits = "health.visits"

[[run]]
name = "work"
runtime = "python"
entry = "work.py"
memory = "512m"
minutes = 5

[[product]]
name = "files"
kind = "file"
run = "work"
"""
CODE = """
def main(job):
    job.save("part.csv", job.table("visits").head(10))
"""

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run a command that must succeed; gives its answer."""

    def run(*words: str | Path) -> dict[str, Any]:
        code = main(["--json", *map(str, words)])
        told = capsys.readouterr()
        assert code == 0, told.out + told.err
        answer: dict[str, Any] = json.loads(told.out.splitlines()[-1])
        return answer

    return run


@pytest.fixture
def machine(whole_machine: None, tmp_path: Path) -> World:
    """A domain on real sealed storage, under the real clock, whose views and inputs hold rows."""
    hands = Hands(system_clock())
    world = World(create(tmp_path / "machine" / "home", "test.example", clock=hands), hands)
    enter_authority(world)
    with_tables(walk(world, Stage.PROVISIONED))
    given = granted(world.domain, world.ids["grant"])
    for zone in Zone:
        with world.domain.read() as connection:
            tables = tables_of(connection, given, zone)
        with zone_opened(world.domain, given, zone) as folder:
            for table in tables.values():
                rows = {column: [f"{zone}-{column}-{row}" for row in range(20)] for column in table.columns}
                write_deltalake(str(folder / table.id), pa.table(rows))
    for login in ("officer", "clerk", "keeper"):
        (world.domain.home / "tokens" / f"{login}.token").write_text(world.tokens[login])
    return world


def granted(domain: Domain, identity: str) -> Grant:
    with domain.read() as connection:
        return get_grant(connection, identity)


@pytest.mark.jail
def test_a_domain_goes_on_after_its_machine_is_lost(machine: World, ask: Ask, tmp_path: Path) -> None:
    home, key, outside, new = machine.domain.home, tmp_path / "recovery.key", tmp_path / "outside", tmp_path / "new"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = key.read_text().partition("public key: ")[2].split("\n")[0]
    outside.mkdir()
    copy, keys = outside / "copy", outside / "keys"

    ask("backup", "recipient", public, "--home", home, "--as", "officer")
    made = ask("backup", "create", copy, "--keys", keys, "--home", home, "--as", "keeper")
    shutil.copy(home / "public" / "domain.pub", outside)
    assert ask("backup", "check", copy, "--home", home)["whole"]
    assert not any(b"view-clinic" in path.read_bytes() for path in outside.rglob("*") if path.is_file())
    shutil.rmtree(home)

    kept = ["--recovery-key", key, "--public-key", outside / "domain.pub", "--home", new]
    found = ask("backup", "check", copy, *kept)
    assert (found["whole"], found["log"], found["entries"]) == (True, True, made["entries"])
    restored = ask("backup", "restore", copy, "--keys", keys, "--first", "officer", "--first", "clerk", *kept)
    assert restored["without_key"] == restored["ended"] == []
    told = ask("audit", "verify", "--home", new)
    assert told["holds"]
    assert [one["backup"] for one in told["restored"]] == [made["backup"]]
    works_on(new, machine.ids, tmp_path, ask)


def works_on(home: Path, ids: dict[str, str], scratch: Path, ask: Ask) -> None:
    """Read a view and an input, and run a job in its jail, in a restored domain."""
    domain = open_domain(home)
    clerk, officer = (
        authenticate(domain, (home / "tokens" / f"{login}.token").read_text()) for login in ("clerk", "officer")
    )
    tenant = authenticate(domain, enrolment.new_token(domain, clerk, officer, "processor"))
    given = granted(domain, ids["grant"])
    assert len(first_rows(domain, tenant, ids["scenario"], "health.visits", 5).rows) == 5
    with domain.read() as connection:
        inputs = tables_of(connection, given, Zone.INPUT)
    with zone_opened(domain, given, Zone.INPUT) as folder:
        for table in inputs.values():
            clinics = DeltaTable(folder / table.id).to_pyarrow_table().column(table.columns[0]).to_pylist()
            assert clinics[0] == f"input-{table.columns[0]}-0"
    job = scratch / "job"
    job.mkdir()
    (job / "job.toml").write_text(MANIFEST.replace("SCENARIO", ids["scenario"]))
    (job / "work.py").write_text(CODE)
    run = queue(domain, tenant, submit(domain, tenant, job).id, 0, RunStage.DEVELOPMENT)
    ask("supervise", "--once", "--home", home)
    with domain.read() as connection:
        assert get_run(connection, run).state is RunState.SUCCEEDED
    assert verified(domain).holds


@pytest.fixture
def place(world_at: WorldAt, tmp_path: Path) -> Place:
    return ready(world_at(Stage.PROVISIONED), tmp_path)


def ready(world: World, beside: Path) -> Place:
    key = new_recovery_key()
    backup.set_recovery_key(with_tables(world).domain, world.session("officer"), key.public)
    return Place(world, key, beside)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_domain_on_postgresql_comes_back_in_an_empty_database(
    world_on: WorldAt, postgres_url: str, tmp_path: Path
) -> None:
    place = ready(world_on(Stage.PROVISIONED), tmp_path)
    made = place.make()
    sources = Sources(place.folder, place.keys, place.key.identity)
    with refused(DefinitionError, "backup.other-database"):
        restore(sources, place.new, first=FIRST)
    with fresh_database(postgres_url) as url:
        restore(sources, place.new, database=url, first=FIRST, clock=place.world.hands)
        domain = place.opened()
        assert domain.database.url.get_backend_name() == "postgresql"
        assert verified(domain).size > made.manifest.position.size
        assert verified(domain).holds
        with refused(DefinitionError, "backup.database-not-empty"):
            restore(sources, tmp_path / "again", database=url, first=FIRST)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_half_restore_leaves_an_empty_database(world_on: WorldAt, postgres_url: str, tmp_path: Path) -> None:
    place = ready(world_on(Stage.PROVISIONED), tmp_path)
    place.make()
    sources = Sources(place.folder, place.keys, place.key.identity)
    with fresh_database(postgres_url) as url:
        with refused(DefinitionError, "backup.who-first"):
            restore(sources, place.new, database=url)
        assert not place.new.exists()
        restore(sources, place.new, database=url, first=FIRST, clock=place.world.hands)
        assert verified(place.opened()).holds


@contextmanager
def small_disk(point: Path, kibibytes: int) -> Iterator[Path]:
    """Mount a file system of a few pages."""
    point.mkdir()
    options = f"size={kibibytes}k,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)


@pytest.mark.jail
@pytest.mark.parametrize("kibibytes", [8, 64, 400])
def test_a_disk_that_fills_up_leaves_nothing_and_loses_nothing(kibibytes: int, place: Place) -> None:
    count = len(place.world.log())
    with small_disk(place.beside / "disk", kibibytes) as disk:
        with refused(DataFileError, "backup.disk-full"):
            place.make(disk / "copy")
        assert not list(disk.iterdir())
    assert place.world.kinds(count) == [Kind.KEY_COPIES_PLACED]
    assert place.world.verified().holds
    place.make()


@pytest.mark.jail
@pytest.mark.parametrize("kibibytes", [8, 200])
def test_a_restore_on_a_full_disk_leaves_nothing(kibibytes: int, place: Place) -> None:
    place.make()
    with small_disk(place.beside / "disk", kibibytes) as disk:
        with refused(DataFileError, "backup.disk-full"):
            place.back(disk / "home")
        assert not list(disk.iterdir())


def test_a_recovery_key_under_a_passphrase_asks_once(place: Place, tmp_path: Path) -> None:
    """The authority may keep the recovery key sealed by a passphrase; age asks for it on the terminal."""
    sealed = tmp_path / "sealed.key"
    place.make()
    on_a_terminal(["age", "-p", "-o", str(sealed)], place.key.identity.text, ["long words", "long words"])
    program = (
        "import sys; from pathlib import Path; from sandbox.backup_age import Identity; "
        f"Identity.load(Path({str(sealed)!r})); print('opened')"
    )
    assert "opened" in on_a_terminal(["python", "-c", program], b"", ["long words"])
    with refused(GateRefusedError, "backup.wrong-recovery-key"):
        place.back(identity=Identity(b"# nothing in it\n"))


def on_a_terminal(command: Sequence[str], data: bytes, answers: Sequence[str]) -> str:
    """Run a program that asks on its terminal, and answer."""
    script = [sys.executable if word == "python" else word for word in command]
    child, terminal = pty.fork()
    if child == 0:
        if data:
            source = os.memfd_create("data")
            os.write(source, data)
            os.lseek(source, 0, os.SEEK_SET)
            os.dup2(source, 0)
        os.execvp(script[0], script)  # noqa: S606 - the terminal is the point
    told = ""
    waiting = list(answers)
    try:
        while piece := os.read(terminal, 1024).decode(errors="replace"):
            told += piece
            if waiting and told.rstrip().endswith(":"):
                os.write(terminal, waiting.pop(0).encode() + b"\n")
                told += "\n"
    except OSError:
        pass
    _, status = os.waitpid(child, 0)
    assert status == 0, told
    os.close(terminal)
    return told
