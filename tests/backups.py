"""What tests of backups need: a recovery key, and a world whose named tables lie on the disk."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from sandbox import catalogue, grants
from sandbox.backup_age import Identity
from tests.factories import COLUMNS, World


@dataclass(frozen=True)
class RecoveryKey:
    """A recovery key: the public half, and the private one as it is loaded."""

    public: str
    identity: Identity


def new_recovery_key() -> RecoveryKey:
    """Make a recovery key with age's own program."""
    made = subprocess.run(["age-keygen"], capture_output=True, check=True)
    public = made.stdout.decode().partition("public key: ")[2].split("\n")[0]
    return RecoveryKey(public, Identity(made.stdout))


def write_table(world: World, name: str, versions: int = 1) -> None:
    """Lay a dataset's RAW table on the disk, with as many versions as the catalogue is to name."""
    import pyarrow
    from deltalake import write_deltalake

    with world.domain.read() as connection:
        dataset = catalogue.get_dataset(connection, name)
    folder = world.domain.raw(dataset.id)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(versions):
        rows = pyarrow.table({column: [f"{column}-{number}-{row}" for row in range(3)] for column in COLUMNS[name]})
        write_deltalake(str(folder / "table"), rows, mode="overwrite")


def with_tables(world: World) -> World:
    """Lay the tables that a world names on the disk, and a secret into each sealed folder; gives the same world."""
    for name in COLUMNS:
        write_table(world, name)
    if "grant" in world.ids:
        with world.domain.read() as connection:
            given = grants.get_grant(connection, world.ids["grant"])
        for zone in grants.Zone:
            with grants.zone_opened(world.domain, given, zone) as folder:
                (folder / "secret.txt").write_text(zone)
    return world
