"""What the machine must have: system programs, jars, Python libraries, a jail that holds (law 7)."""

from __future__ import annotations

import importlib.metadata
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lineage.errors import ShuzhaError
from sandbox.engine import JARS, jars_folder
from sandbox.messages import explain, language_from_environment


_LIBRARIES = ("pyspark", "delta-spark", "deltalake", "duckdb", "opendp", "scikit-learn", "onnxruntime", "sqlalchemy")
_PARTS = Path(__file__).resolve().parent.parent / "infra" / "system-parts.toml"


@dataclass(frozen=True)
class Part:
    """One part: what was found of it (empty when missing), what needs it, how to get it."""

    name: str
    found: str
    needed_for: str
    fix: str
    needed: bool = True


def find_parts(home: Path) -> list[Part]:
    """Look for every part; never raises, so that one missing part does not hide another."""
    return [*_system(), *_jars(), *_libraries(), _jail(), _domain(home)]


def _system() -> Iterator[Part]:
    for part in tomllib.loads(_PARTS.read_text(encoding="utf-8"))["part"]:
        command = part["command"]
        matches = sorted(map(str, Path("/").glob(command[1:]))) if command.startswith("/") else [_which(command)]
        found = matches[-1] if matches else ""
        needed = part["used_by"] == "product"
        yield Part(part["name"], found or "", part["needed_for"], f"apt-get install {part['package']}", needed)


def _which(command: str) -> str:
    return (
        shutil.which(command, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        or shutil.which(command)
        or ""
    )


def _jars() -> Iterator[Part]:
    for jar in JARS:
        path = jars_folder() / jar
        yield Part(jar, str(path) if path.is_file() else "", "Delta Lake", "make setup")


def _libraries() -> Iterator[Part]:
    for name in _LIBRARIES:
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = ""
        yield Part(name, found, "Python", "make setup")


def _jail() -> Part:
    from jobs.jail.bubblewrap import BubblewrapJail

    try:
        capability = BubblewrapJail().capability()
        found = "network, files, uid, limits" if capability.whole else ""
        fix = ", ".join(capability.missing)
    except ShuzhaError as error:
        found, fix = "", _fix(error)
    return Part("jail", found, "law 1", fix)


def _domain(home: Path) -> Part:
    from sandbox.domain import open_domain

    try:
        domain = open_domain(home)
        found = f"{domain.name} · {domain.storage.name} · {domain.database.url.get_backend_name()}"
    except ShuzhaError as error:
        return Part("domain", "", str(home), _fix(error), needed=False)
    return Part("domain", found, str(home), "")


def _fix(error: ShuzhaError) -> str:
    return explain(error, language_from_environment()).fix
