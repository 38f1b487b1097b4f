"""Programs from the operating system: find them, install them as root, or say exactly what to type."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.setup.common import ROOT, SetupError, run, say


LIST = ROOT / "infra" / "system-parts.toml"
USERS = ("product", "tests")
JAVA_AT_LEAST = 17


@dataclass(frozen=True)
class Part:
    """One program of the operating system; see the head of ``infra/system-parts.toml`` for the fields."""

    name: str
    command: str
    package: str
    needed_for: str
    used_by: str

    def __post_init__(self) -> None:
        """Refuse a part without a field or with an unknown user."""
        if not all((self.name, self.command, self.package, self.needed_for)) or self.used_by not in USERS:
            raise ValueError(f"not a system part: {self}")

    def is_there(self) -> bool:
        """Look for the program on the path and in the system folders, or for the file pattern."""
        if self.command.startswith("/"):
            return bool(glob.glob(self.command))  # noqa: PTH207 - the pattern is absolute
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
        return shutil.which(self.command, path=path) is not None


def read_parts(path: Path = LIST) -> list[Part]:
    """Read the list of system parts."""
    return [Part(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["part"]]


def install_line(packages: Sequence[str]) -> str:
    """Give the line a person without root types."""
    return "sudo apt-get update && sudo apt-get install -y --no-install-recommends " + " ".join(sorted(set(packages)))


def install(packages: Sequence[str]) -> None:
    """Install Debian packages as root.

    Raises:
        SetupError: the package manager failed.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    say("installing " + ", ".join(sorted(set(packages))))
    run(["apt-get", "update", "-q"], environment=environment, why="system packages")
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *sorted(set(packages))]
    run(command, environment=environment, why="system packages")


def can_install() -> bool:
    """Whether this process may install Debian packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def provide(
    parts: Sequence[Part],
    *,
    may_install: Callable[[], bool] = can_install,
    installer: Callable[[Sequence[str]], None] = install,
) -> None:
    """See to it that every part is there.

    Raises:
        SetupError: a part of the product is missing and cannot be installed from here.
    """
    missing = [part for part in parts if not part.is_there()]
    if missing and may_install():
        installer([part.package for part in missing])
        missing = [part for part in missing if not part.is_there()]
    if not missing:
        return
    lines = [f"{part.name} is missing; needed for {part.needed_for}" for part in missing]
    lines.append("type: " + install_line([part.package for part in missing]))
    if any(part.used_by == "product" for part in missing):
        raise SetupError("\n".join(lines))
    for line in lines:
        say(line)


def java_major(version_text: str) -> int:
    """Read the major version out of what ``java -version`` prints; 0 when it is not to be read."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(found.group(1)) if found else 0


def check_java() -> None:
    """Check the version of the Java that Spark will use (``JAVA_HOME``, else the path).

    Raises:
        SetupError: it is missing or older than 17.
    """
    home = os.environ.get("JAVA_HOME", "")
    program = str(Path(home) / "bin" / "java") if home else "java"
    try:
        shown = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        shown = ""
    if java_major(shown) < JAVA_AT_LEAST:
        raise SetupError(
            f"{program} is not Java {JAVA_AT_LEAST} or newer; type: {install_line(['openjdk-17-jre-headless'])}"
            + (" and unset JAVA_HOME" if home else "")
        )
