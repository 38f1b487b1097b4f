"""The demo's story, played once a run at a small scale; its tests ask the domain it leaves behind again, by other ways."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from console.demo.city import City
from console.demo.play import Play
from console.demo.story import ACTS
from console.door import Door
from export_gate.exports import Export, get_export
from lineage.log import Entry, entries
from sandbox.access import Session
from sandbox.grants import Grant, Provisioned, Zone, get_grant, tables_of, zone_opened
from sandbox.messages import Language


if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

RESIDENTS, SEED = 2_500, 7
_NEEDED = ("bwrap", "gocryptfs", "java")


@dataclass
class Played:
    """The performance, with what could not be seen any more after its end.

    Attributes:
        play: sessions, ids and facts of the acts; its domain is open.
        kept: tables of the tenant that ends, as they lay before, by zone and dataset.
        lost_keys: the zone keys of that tenant's grant, taken before they were destroyed.
    """

    play: Play
    kept: dict[tuple[Zone, str], pa.Table] = field(default_factory=dict)
    lost_keys: dict[Zone, bytes] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The domain's folder."""
        return self.play.stage.home

    @property
    def city(self) -> City:
        """The files and what is known of them."""
        found: City = self.play.facts["city"]
        return found

    @property
    def exports(self) -> Mapping[str, Export]:
        """The exports of the sixth act by product, as they were checked."""
        found: Mapping[str, Export] = self.play.facts["exports"]
        return found

    def session(self, login: str) -> Session:
        """A person's session."""
        return self.play.sessions[login]

    def log(self) -> list[Entry]:
        """Every entry of the log."""
        with self.play.stage.read() as connection:
            return list(entries(connection))

    def export_now(self, product: str) -> Export:
        """An export of the sixth act as it is now."""
        with self.play.stage.read() as connection:
            return get_export(connection, self.exports[product].id)

    def grant(self, key: str) -> Grant:
        """A grant of the story, ``medical`` or ``mobility``."""
        with self.play.stage.read() as connection:
            return get_grant(connection, self.play.ids[f"{key}.grant"])

    def provisioned(self, zone: Zone, key: str = "medical") -> dict[str, Provisioned]:
        """The provisioned tables of a grant, by dataset."""
        with self.play.stage.read() as connection:
            return tables_of(connection, self.grant(key), zone)

    def tables(self, zone: Zone, key: str = "medical") -> dict[str, pa.Table]:
        """The rows of a zone, read through its opened folder."""
        from deltalake import DeltaTable

        found = self.provisioned(zone, key)
        with zone_opened(self.play.stage, self.grant(key), zone) as folder:
            return {name: DeltaTable(folder / table.id).to_pyarrow_table() for name, table in found.items()}

    @cached_property
    def residents(self) -> pd.DataFrame:
        """The residents' file as delivered."""
        return pd.read_parquet(self.city.residents.path)

    @cached_property
    def visits(self) -> pd.DataFrame:
        """The clean rows of the second delivery of visits, cleaned here anew from the text of the file."""
        text = pd.read_csv(self.city.visits_v2.path, dtype=str, keep_default_na=False)
        dates = pd.to_datetime(text["visit_date"], format="%Y-%m-%d", errors="coerce")
        numbers = {name: pd.to_numeric(text[name], errors="coerce") for name in ("days", "cost", "readmitted")}
        # What a resident number must be is what the residents' own file holds.
        known = text["resident_id"].isin(set(self.residents["resident_id"]))
        clean = known & dates.notna() & numbers["days"].notna() & (numbers["cost"] >= 0)
        return text.assign(**numbers, visit_date=dates)[clean].reset_index(drop=True)

    @cached_property
    def identifiers(self) -> dict[str, frozenset[str]]:
        """What names a person of the city, by what it is."""
        return {name: frozenset(self.residents[name]) for name in ("resident_id", "name", "mobile", "address")}


def missing_parts() -> str:
    """Name what this machine lacks for a whole domain; empty when nothing."""
    absent = [name for name in _NEEDED if shutil.which(name) is None]
    return ", ".join([*absent, *([] if os.geteuid() == 0 else ["root"])])


def keep_before_the_end(played: Played) -> None:
    """Keep rows and keys of the tenant that is about to end."""
    grant = played.grant("mobility")
    for zone in Zone:
        played.kept |= {(zone, name): table for name, table in played.tables(zone, "mobility").items()}
        played.lost_keys[zone] = played.play.stage.keys.zone_key(grant.tenant, grant.id, zone)


@pytest.fixture(scope="session")
def whole_machine() -> None:
    """Skip where a domain cannot stand at all."""
    absent = missing_parts()
    if absent:
        pytest.skip(f"a whole domain needs {absent}")


@pytest.fixture(scope="session")
def played(whole_machine: None, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The story, all nine acts, in a home folder of its own."""
    home = tmp_path_factory.mktemp("story") / "home"
    performance = Play(Door(home, None, as_json=True, language=Language.EN), RESIDENTS, SEED)
    played = Played(performance)
    for number, (name, act) in enumerate(ACTS.items(), 1):
        if name == "ending":
            keep_before_the_end(played)
        with performance.step(name, number):
            act(performance)
    return played


def reasons(found: Export) -> set[tuple[Any, Any]]:
    """The verdict and code of each finding that a tenant may see."""
    return {(one["verdict"], one["reason"]) for one in found.reasons}


def shortened(exact: float, subjects: int) -> str:
    """Write an average over so many subjects with the digits that it can carry: ⌈log10 √n⌉ + 1 of them."""
    value = Decimal(exact)
    last = value.adjusted() - math.ceil(math.log10(math.sqrt(subjects)))
    return format(value.quantize(Decimal(1).scaleb(last), ROUND_HALF_EVEN), "f")
