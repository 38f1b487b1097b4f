"""A domain: its home folder, database, keys and log, opened as one thing."""

from __future__ import annotations

import json
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from lineage.clock import Clock, system_clock
from lineage.database import Database
from lineage.errors import DefinitionError, MissingPartError
from lineage.log import Actor, Change, Log
from lineage.note import Signer, Verifier
from sandbox import migrating
from sandbox.keys import KeyStore
from sandbox.keys_service import key_service
from sandbox.storage import StorageProvider, provider


FORMAT = 1
_SETTINGS = "domain.toml"


@dataclass(frozen=True, repr=False)
class Domain:
    """An open domain. Everything that acts takes one; nothing else knows where things lie."""

    home: Path
    name: str
    log: Log
    keys: KeyStore
    storage: StorageProvider
    release_signer: Signer
    clock: Clock
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What ``domain.toml`` says, for those whose settings it holds."""

    @property
    def database(self) -> Database:
        """The database of the domain and of its log."""
        return self.log.database

    @property
    def mounts(self) -> Path:
        """Root-only folder for open mounts."""
        return self.home / "run" / "mounts"

    @property
    def public_keys(self) -> str:
        """The text of ``domain.pub``: the log's and the release signer's vkeys, all that a recipient needs."""
        return f"{self.log.signer.verifier.encoded}\n{self.release_signer.verifier.encoded}\n"

    def raw(self, dataset: str) -> Path:
        """The RAW folder of a dataset; no tenant's code ever runs there (P1)."""
        return self.home / "raw" / dataset

    def held(self, tenant: str) -> Path:
        """What is kept of a tenant's runs (outboxes, development logs); removed when its agreement ends (law 10)."""
        return self.home / "held" / tenant

    def sealed(self, grant: str, zone: str) -> Path:
        """The sealed folder of one zone of a grant (D1, D3)."""
        return self.home / "sealed" / grant / zone

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction."""
        with self.database.read() as connection:
            yield connection

    @contextmanager
    def change(self, actor: Actor) -> Iterator[Change]:
        """Open a write transaction; what it changes is on the log or is not changed (law 5)."""
        with self.log.change(actor) as change:
            yield change

    def now(self) -> datetime:
        """Give the present moment of the domain's clock."""
        return self.clock()


def create(
    home: Path,
    name: str,
    *,
    url: str | None = None,
    storage: str = "gocryptfs",
    root_keys: str = "file",
    clock: Clock = system_clock,
) -> Domain:
    """Make the home folder of a new domain: settings, keys, empty database.

    ``root_keys`` says where the root of the key tree and the end keys lie: see ``sandbox.keys_service.key_service``.

    Raises:
        DefinitionError: the folder holds a domain already, or the name is no host-like name.
        MissingPartError: the storage provider is unknown, or the database or the key service is down.
    """
    if (home / _SETTINGS).exists() or (home / "keys").exists():
        raise DefinitionError("domain.exists", home=str(home))
    if not name or not name.isascii() or not name.isprintable() or any(char in ' +"\\' for char in name):
        raise DefinitionError("domain.bad-name", name=name)
    provider(storage)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    address = url or f"sqlite:///{(home / 'domain.db').resolve()}"
    # Before the first key: whatever is wrong with the database can be mended and the creation repeated.
    with Database(address).read() as connection:
        connection.execute(text("SELECT 1"))
    migrating.upgrade(address)
    settings: dict[str, str] = {"root_keys": root_keys, "key_store": f"shuzha-{secrets.token_hex(8)}"}
    keys = key_store(home, settings, clock)
    keys.create()
    for purpose in ("log", "release"):
        keys.write_seed(purpose, secrets.token_bytes(32))
    for folder in ("raw", "sealed", "run", "jobs", "exports", "releases", "tokens", "public"):
        (home / folder).mkdir(mode=0o700)
    lines = [f"format = {FORMAT}", f'name = "{name}"', f"database = {json.dumps(address)}", f'storage = "{storage}"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (home / _SETTINGS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    domain = open_domain(home, clock=clock)
    (home / "public" / "domain.pub").write_text(domain.public_keys, encoding="ascii")
    return domain


def open_domain(home: Path, *, clock: Clock = system_clock) -> Domain:
    """Open a domain.

    Raises:
        MissingPartError: there is no domain, a key is missing, or its database is of another version (law 7).
    """
    try:
        settings = tomllib.loads((home / _SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingPartError("domain.not-found", home=str(home)) from error
    if settings["format"] != FORMAT:
        raise MissingPartError("domain.other-format", found=settings["format"], known=FORMAT)
    database = Database(settings["database"])
    migrating.check_current(database)
    name, keys = settings["name"], key_store(home, settings, clock)
    signer = Signer.from_seed(f"{name}/log", keys.read_seed("log"))
    return Domain(
        home=home,
        name=name,
        log=Log(database, signer, clock, home / "checkpoint"),
        keys=keys,
        storage=provider(settings["storage"], settings),
        release_signer=Signer.from_seed(f"{name}/release", keys.read_seed("release")),
        clock=clock,
        settings=settings,
    )


def key_store(home: Path, settings: Mapping[str, Any], clock: Clock) -> KeyStore:
    """Give the key tree of a home folder by its settings.

    ``ends`` names the folder of the end keys where they are files; it is to lie on a disk of which nobody makes a copy.

    Raises:
        MissingPartError: the settings name no key service (law 7).
    """
    folder = home / "keys"
    ends = Path(settings.get("ends", home / "ends"))
    service = key_service(
        str(settings.get("root_keys", "")), store=str(settings.get("key_store", "")), roots=folder / "roots", ends=ends
    )
    return KeyStore(folder, service, clock)


def read_public_keys(text: str) -> tuple[Verifier, Verifier]:
    """Read ``domain.pub``: the log's key, then the release key.

    Raises:
        GateRefusedError: the text is not such a file.
    """
    lines = text.strip().splitlines()
    first, second = [*lines, "", ""][:2]
    return Verifier.decode(first), Verifier.decode(second)


def new_id(prefix: str) -> str:
    """Make an unguessable id such as ``R-4vq7…``: ids must not tell how many there are, nor be tried (D1)."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return f"{prefix}-" + "".join(secrets.choice(alphabet) for _ in range(16))
