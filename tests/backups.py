"""What tests of backups need: a recovery key, and a world whose named tables lie on the disk."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from lineage.verify import Verification, verify
from sandbox import backup, catalogue, grants
from sandbox.backup_age import Identity
from sandbox.backup_restore import Restored, Sources, restore
from sandbox.domain import Domain, open_domain
from sandbox.schema import dataset
from tests.worlds import World


FIRST = ("officer", "clerk")


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
    import pyarrow as pa
    from deltalake import write_deltalake

    with world.domain.read() as connection:
        found = catalogue.get_dataset(connection, name)
    folder = world.domain.raw(found.id)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(versions):
        rows = pa.table({"clinic": [f"clinic-{number}-{row}" for row in range(3)]})
        write_deltalake(str(folder / "table"), rows, mode="overwrite")


def with_tables(world: World) -> World:
    """Lay the tables that a world names on the disk, and a secret into each sealed folder; gives the same world."""
    with world.domain.read() as connection:
        named = connection.execute(select(dataset.c.name)).scalars().all()
    for name in named:
        write_table(world, name)
    if "grant" in world.ids:
        with world.domain.read() as connection:
            given = grants.get_grant(connection, world.ids["grant"])
        for zone in grants.Zone:
            with grants.zone_opened(world.domain, given, zone) as folder:
                (folder / "secret.txt").write_text(zone)
    return world


@dataclass
class Place:
    """A world with its recovery key, and the folders of a backup beside it."""

    world: World
    key: RecoveryKey
    beside: Path

    @property
    def folder(self) -> Path:
        """The backup."""
        return self.beside / "copy"

    @property
    def keys(self) -> Path:
        """The key copies."""
        return self.beside / "keys"

    @property
    def new(self) -> Path:
        """Where the domain comes back."""
        return self.beside / "new"

    def make(self, folder: Path | None = None) -> backup.Made:
        """Back the world up."""
        return backup.create(self.world.domain, self.world.session("keeper"), folder or self.folder, keys=self.keys)

    def back(
        self, home: Path | None = None, *, newest: str | None = None, identity: Identity | None = None
    ) -> Restored:
        """Bring it back."""
        sources = Sources(self.folder, self.keys, identity or self.key.identity, newest=newest)
        return restore(sources, home or self.new, first=FIRST, clock=self.world.hands)

    def opened(self) -> Domain:
        """The restored domain."""
        return open_domain(self.new, clock=self.world.hands)


def verified(domain: Domain, *witnesses: str) -> Verification:
    """Verify a domain's log, with its checkpoint file and others as witnesses."""
    with domain.read() as connection:
        kept = [domain.log.checkpoint_file.read_text(), *witnesses]
        return verify(connection, domain.log.signer.verifier, kept)
