"""A world: a domain under test with its clock, its people's tokens and the ids of what they made."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from lineage.clock import stamp
from lineage.database import Database
from lineage.errors import ShuzhaError
from lineage.kinds import Kind
from lineage.log import Entry, entries
from lineage.schema import metadata
from lineage.verify import Verification, verify
from sandbox import domain, migrating, parties
from sandbox.access import Session, authenticate


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAME = "test.example"


@contextmanager
def refused(kind: type[ShuzhaError], code: str) -> Iterator[pytest.ExceptionInfo[ShuzhaError]]:
    """Demand that a block is refused: with this kind of error, which decides the exit code, and exactly this message."""
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.code == code


@dataclass
class Hands:
    """A clock that moves only when a test moves it."""

    moment: datetime = NOON

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> None:
        self.moment += timedelta(**by)


class Stage(IntEnum):
    """How far a world has come."""

    FOUNDED = 0
    PARTIES = 1
    CATALOGUE = 2
    SCENARIO = 3
    REQUESTED = 4
    PROVIDER_APPROVED = 5
    GRANTED = 6
    PROVISIONED = 7
    SUBMITTED = 8
    PROMOTION_REQUESTED = 9
    PROMOTED = 10
    EXPORT_REQUESTED = 11
    IN_REVIEW = 12
    REVIEWED = 13
    APPROVED = 14
    RELEASED = 15


@dataclass
class World:
    """A domain with its people and the ids of what they made; ``hands`` is its clock."""

    domain: domain.Domain
    hands: Hands
    stage: Stage = Stage.FOUNDED
    ids: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def session(self, login: str) -> Session:
        """Log in."""
        return authenticate(self.domain, self.tokens[login])

    def log(self) -> list[Entry]:
        """Every entry of the log."""
        with self.domain.read() as connection:
            return list(entries(connection))

    def kinds(self, after: int = 0) -> list[Kind]:
        """The kinds of the entries from a number on."""
        return [entry.kind for entry in self.log()[after:]]

    def verified(self) -> Verification:
        """Verify the log, with the checkpoint outside the database as witness."""
        witness = (self.domain.home / "checkpoint").read_text()
        with self.domain.read() as connection:
            return verify(connection, self.domain.log.signer.verifier, [witness])

    def copy(self, home: Path, url: str | None = None) -> World:
        """Give an equal world of its own under another folder, and in another, empty database where a URL names one."""
        shutil.copytree(self.domain.home, home)
        settings = home / "domain.toml"
        text = settings.read_text().replace(str(self.domain.home), str(home))
        if url is not None:
            text = text.replace(f"sqlite:///{home / 'domain.db'}", url)
            _copy_rows(self.domain.database, url)
        settings.write_text(text)
        hands = Hands(self.hands.moment)
        return World(domain.open_domain(home, clock=hands), hands, self.stage, dict(self.ids), dict(self.tokens))


def _copy_rows(source: Database, url: str) -> None:
    migrating.upgrade(url)
    with source.read() as old, Database(url).write() as new:
        for table in metadata.sorted_tables:
            for row in old.execute(select(table)):
                # None given for a JSON column would be stored as the JSON value null.
                new.execute(insert(table).values(**{k: v for k, v in row._asdict().items() if v is not None}))


def found(home: Path, url: str | None = None) -> World:
    """Open a new domain with its authority, its first officer and its first registrar."""
    hands = Hands()
    world = World(domain.create(home, NAME, url=url, storage="none", clock=hands), hands)
    enter_authority(world)
    return world


def enter_authority(world: World) -> None:
    """Register the authority with its first officer and its first registrar, whose login is ``clerk``."""
    founded = parties.found_authority(
        world.domain,
        name="authority",
        title="数据主管部门",
        login="officer",
        officer="Officer",
        registrar_login="clerk",
        registrar="Clerk",
    )
    world.tokens |= {"officer": founded.officer, "clerk": founded.registrar}
    with world.domain.read() as connection:
        world.ids["authority"] = parties.get_organisation(connection, "authority").id
        world.ids |= {login: parties.get_person(connection, login).id for login in ("officer", "clerk")}


def at(world: World) -> str:
    """The world's moment as it is stored."""
    return stamp(world.hands())
