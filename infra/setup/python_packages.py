"""The virtual environment: exactly the locked packages, each checked against its hash, and our own as an editable one."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from infra.setup import system_parts
from infra.setup.common import ROOT, TOOLS, VENV, SetupError, run, say


LOCK = ROOT / "requirements.lock"
UV_LOCK = ROOT / "infra" / "setup" / "uv.lock"
INPUTS = (LOCK, UV_LOCK, ROOT / "pyproject.toml", Path(__file__))
STAMP = VENV / "shuzha-setup.stamp"
PYTHON = VENV / "bin" / "python"
UV_HOME = TOOLS / "uv"
UV = UV_HOME / "bin" / "uv"
WANTED = (3, 11)


def digest(paths: Iterable[Path]) -> str:
    """Give the SHA-256 over the contents of the files and the interpreter's version."""
    total = hashlib.sha256(sys.version.encode())
    for path in paths:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def is_current() -> bool:
    """Whether the environment was built from exactly these locks by this interpreter."""
    return PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == digest(INPUTS)


def provide() -> None:
    """Build or renew the virtual environment; does nothing when it is current.

    Raises:
        SetupError: a package could not be had or its hash is another one.
    """
    if is_current():
        return
    if sys.version_info[:2] != WANTED:
        raise SetupError("setup must be run by Python 3.11")
    STAMP.unlink(missing_ok=True)
    _provide_ensurepip()
    _provide_uv()
    if not _is_our_python():
        say("making .venv")
        run([sys.executable, "-m", "venv", "--clear", "--without-pip", VENV], why="virtual environment")
    say("installing the locked Python packages")
    _install_locked()
    _install_ourselves()
    STAMP.write_text(digest(INPUTS), encoding="utf-8")


def _provide_ensurepip() -> None:
    # Debian takes ensurepip out of python3.11 and puts it into a package of its own.
    if importlib.util.find_spec("ensurepip") is not None:
        return
    if not system_parts.can_install():
        raise SetupError("type: " + system_parts.install_line(["python3.11-venv"]))
    system_parts.install(["python3.11-venv"])


def _is_our_python() -> bool:
    if not PYTHON.exists():
        return False
    script = f"import sys; sys.exit(sys.version_info[:2] != {WANTED} or sys.prefix == sys.base_prefix)"
    return subprocess.run([str(PYTHON), "-c", script], check=False).returncode == 0


def _provide_uv() -> None:
    stamp = UV_HOME / "uv.stamp"
    wanted = digest([UV_LOCK])
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    say("fetching the installer (uv)")
    shutil.rmtree(UV_HOME, ignore_errors=True)
    run([sys.executable, "-m", "venv", UV_HOME], why="installer")
    pip: list[str | Path] = [
        UV_HOME / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--no-deps",
    ]
    try:
        run([*pip, "--only-binary", ":all:", "-r", UV_LOCK], why="installer")
    except SetupError as error:
        say(f"uv cannot be had here, pip is used instead ({str(error).splitlines()[-1]})")
    stamp.write_text(wanted, encoding="utf-8")


def uv_runs() -> bool:
    """Whether the pinned installer starts on this machine."""
    try:
        return subprocess.run([str(UV), "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _installer(*words: str) -> list[str | Path]:
    if uv_runs():
        # A site's own certificate authority is known to the system, not to uv.
        return [UV, "pip", *words, "--quiet", "--system-certs", "--python", PYTHON]
    return [UV_HOME / "bin" / "python", "-m", "pip", "--python", PYTHON, "install", "--quiet"]


def _install_locked() -> None:
    # pip has no sync: what is already there is renewed, what is no longer locked stays until .venv is made anew.
    # Compiled now: in the jail the libraries are read-only, so what is not compiled would be compiled anew at every run.
    source: list[str | Path] = ["--compile-bytecode", LOCK] if uv_runs() else ["-r", LOCK]
    run([*_installer("sync"), "--require-hashes", *source], why="Python packages")


def _install_ourselves() -> None:
    # "compat" puts the repository's root on the path, so that a new package needs no second setup.
    own: list[str | Path] = [
        "--no-deps",
        "--no-build-isolation",
        "--config-settings",
        "editable_mode=compat",
        "-e",
        ROOT,
    ]
    run([*_installer("install"), *own], why="our own package")
    probe: list[str | Path] = [PYTHON, "-I", "-c", "import lineage, sandbox, desensitize, jobs, export_gate, console"]
    run(probe, why="our own package cannot be imported")
