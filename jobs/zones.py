"""What a run stands on: a zone's opened folder, of its own type for views and for inputs, and the user of the machine (D3, law 1).

A function that wants a view cannot be handed an input: the type checker refuses it, the values refuse to exist, and the record of
each mounted table is read once more at launch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from jobs.runs import Stage
from lineage.errors import DefinitionError
from sandbox.domain import Domain
from sandbox.grants import Grant, Provisioned, Zone, tables_of, zone_opened
from sandbox.schema import provisioned


ZONES: Mapping[Stage, Zone] = {Stage.DEVELOPMENT: Zone.VIEW, Stage.PRODUCTION: Zone.INPUT}
"""Development sees views and production reads inputs; there is no other way to name a zone for a run (D3)."""


@dataclass(frozen=True)
class Views:
    """The opened folder of a grant's views."""

    grant: str
    folder: Path
    tables: Mapping[str, Provisioned]

    def __post_init__(self) -> None:
        """Refuse what is no view of this grant."""
        _check_all(self.tables, self.grant, Zone.VIEW)


@dataclass(frozen=True)
class Inputs:
    """The opened folder of a grant's inputs."""

    grant: str
    folder: Path
    tables: Mapping[str, Provisioned]

    def __post_init__(self) -> None:
        """Refuse what is no input of this grant."""
        _check_all(self.tables, self.grant, Zone.INPUT)


@dataclass(frozen=True)
class Ground:
    """What one run stands on: where its tables lie and as which user of the machine it runs. Made from views or from inputs alone."""

    stage: Stage
    grant: str
    uid: int
    folder: Path
    tables: Mapping[str, Provisioned]

    def __post_init__(self) -> None:
        """Refuse tables of the other stage's zone."""
        _check_all(self.tables, self.grant, ZONES[self.stage])

    def mounts(self, inputs: Mapping[str, str]) -> dict[str, Path]:
        """Give the folder of each input of a job by its place inside the jail.

        Raises:
            DefinitionError: a table is not granted, or not made.
        """
        absent = sorted(set(inputs.values()) - set(self.tables))
        if absent:
            raise DefinitionError("job.table-not-granted", tables=", ".join(absent))
        return {f"/in/{name}": self.folder / self.tables[dataset].id for name, dataset in inputs.items()}


def development_ground(views: Views, tenant_uid: int) -> Ground:
    """Let a development run stand on views."""
    return Ground(Stage.DEVELOPMENT, views.grant, uid_of(tenant_uid, Stage.DEVELOPMENT), views.folder, views.tables)


def production_ground(inputs: Inputs, tenant_uid: int) -> Ground:
    """Let a production run stand on inputs."""
    return Ground(Stage.PRODUCTION, inputs.grant, uid_of(tenant_uid, Stage.PRODUCTION), inputs.folder, inputs.tables)


def uid_of(tenant_uid: int, stage: Stage) -> int:
    """Give the user of the machine a run has: a tenant holds a pair, the second for production."""
    return tenant_uid + (1 if stage is Stage.PRODUCTION else 0)


@contextmanager
def opened_views(domain: Domain, grant: Grant) -> Iterator[Views]:
    """Open a grant's views for the time of a block."""
    with domain.read() as connection:
        tables = tables_of(connection, grant, Zone.VIEW)
    with zone_opened(domain, grant, Zone.VIEW) as folder:
        yield Views(grant.id, folder, tables)


@contextmanager
def opened_inputs(domain: Domain, grant: Grant) -> Iterator[Inputs]:
    """Open a grant's inputs for the time of a block."""
    with domain.read() as connection:
        tables = tables_of(connection, grant, Zone.INPUT)
    with zone_opened(domain, grant, Zone.INPUT) as folder:
        yield Inputs(grant.id, folder, tables)


@contextmanager
def ground_opened(domain: Domain, grant: Grant, stage: Stage, tenant_uid: int) -> Iterator[Ground]:
    """Open what a run of a stage stands on, for the time of a block."""
    if stage is Stage.PRODUCTION:
        with opened_inputs(domain, grant) as inputs:
            yield production_ground(inputs, tenant_uid)
    else:
        with opened_views(domain, grant) as views:
            yield development_ground(views, tenant_uid)


def check_mounted(connection: Connection, ground: Ground, mounts: Mapping[str, Path]) -> None:
    """Hold what is about to be mounted against the record of what was provisioned, by the folder's own name.

    Raises:
        DefinitionError: a folder is no table of this grant and of the stage's zone, or lies elsewhere (D3).
    """
    for inside, folder in mounts.items():
        query = select(provisioned.c.grant, provisioned.c.zone).where(provisioned.c.id == folder.name)
        row = connection.execute(query).one_or_none()
        right = row is not None and (row.grant, row.zone) == (ground.grant, ZONES[ground.stage].value)
        if not right or folder.parent != ground.folder:
            raise DefinitionError("run.wrong-zone", table=inside, stage=f"label.stage.{ground.stage}")


def _check_all(tables: Mapping[str, Provisioned], grant: str, zone: Zone) -> None:
    if any(table.zone is not zone or table.grant != grant for table in tables.values()):
        raise ValueError(f"tables of one grant and of the zone {zone}")
