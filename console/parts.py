"""What the machine must have: system programs, jars, Python libraries, a jail that holds (law 7)."""

from __future__ import annotations

import importlib.metadata
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.errors import ShuzhaError
from sandbox.engine import JARS, jars_folder
from sandbox.messages import explain, language_from_environment


if TYPE_CHECKING:
    from sandbox.domain import Domain


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
    return [*_system(), *_jars(), *_libraries(), *_jails(home), _domain(home), *_at_rest(home), _selftest(home)]


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


def _jails(home: Path) -> Iterator[Part]:
    """Tell of each jail what this machine has for it; only the one that the domain chose is needed."""
    from jobs.jail.backends import name_of, survey

    settings = _settings(home)
    try:
        chosen = name_of(settings)
    except ShuzhaError as error:
        yield Part("jail", "", "law 1", _fix(error))
        return
    for name, capability in survey(settings).items():
        parts = [part for part in ("network", "files", "uid", "limits", "kernel") if getattr(capability, part)]
        found = ", ".join(parts) if capability.whole else ""
        yield Part(f"jail {name}", found, "law 1", ", ".join(capability.missing), needed=name == chosen)


def _settings(home: Path) -> Mapping[str, Any]:
    """Read the settings of a domain that may not be there yet."""
    try:
        return tomllib.loads((home / "domain.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}


def _domain(home: Path) -> Part:
    from sandbox.domain import open_domain

    try:
        domain = open_domain(home)
        found = f"{domain.name} · {domain.storage.name} · {domain.database.url.get_backend_name()}"
    except ShuzhaError as error:
        return Part("domain", "", str(home), _fix(error), needed=False)
    return Part("domain", found, str(home), "")


def _selftest(home: Path) -> Part:
    """The last selftest of the domain, and whether it lets production run now."""
    from jobs.jail.backends import name_of
    from jobs.selftest import last_filed
    from jobs.selftest_held import check_held
    from sandbox.domain import open_domain

    command = "shuzha selftest"
    try:
        domain = open_domain(home)
        filed = last_filed(domain)
        with domain.read() as connection:
            check_held(connection, name_of(domain.settings))
    except ShuzhaError as error:
        return Part("selftest", "", "law 1", f"{command}: {_fix(error)}", needed=False)
    result = filed.result if filed else None
    found = f"{result.begun} · {len(result.probes)}" if result else ""
    return Part("selftest", found, "law 1", command, needed=False)


def _at_rest(home: Path) -> Iterator[Part]:
    """Try the key service and the storage that the settings name; nothing is said of a folder that holds no domain."""
    from sandbox.domain import open_domain

    try:
        domain = open_domain(home)
    except ShuzhaError:
        return
    for name, law, attempt in (("key service", "law 10", _keys_of), ("storage", "D9, law 10", _storage_of)):
        try:
            yield Part(name, attempt(domain), law, "")
        except ShuzhaError as error:
            yield Part(name, "", law, _fix(error))


def _keys_of(domain: Domain) -> str:
    from sandbox.keys_rotating import check_opens

    return f"{domain.keys.service.name} · root {check_opens(domain.keys)}"


def _storage_of(domain: Domain) -> str:
    from sandbox.storage import try_out

    return f"{domain.storage.name} · {try_out(domain.storage, domain.home / 'sealed', domain.mounts)}"


def _fix(error: ShuzhaError) -> str:
    return explain(error, language_from_environment()).fix
