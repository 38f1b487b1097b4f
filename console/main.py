"""The command line: a thin client of the operations. It starts without Spark, pandas or OpenDP, so help is there at once."""

from __future__ import annotations

import os
import secrets
import sys
import traceback
from pathlib import Path

from console.door import Door, open_door, report
from lineage.errors import MissingPartError, ShuzhaError
from sandbox.messages import Language, language_from_environment


_WITH_VALUE = {"--home", "--as", "--lang"}
_FLAGS = {"--json"}


def run() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command; gives the exit code. Global options may stand anywhere."""
    options, rest = _globals(arguments)
    language = Language(options["--lang"]) if options.get("--lang") in set(Language) else language_from_environment()
    os.environ["SHUZHA_LANG"] = language.value
    named = options.get("--home") or os.environ.get("SHUZHA_HOME")
    home = Path(named or "shuzha-home").absolute()
    login = options.get("--as") or os.environ.get("SHUZHA_AS")
    door = Door(home, login, "--json" in options, language, home_named=bool(named))
    open_door(door)
    from console.app import build

    try:
        build()(rest, standalone_mode=True, prog_name="shuzha")
    except ShuzhaError as error:
        return report(door, error)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    except Exception:  # noqa: BLE001 - the process boundary: see _broken
        return report(door, _broken(door))
    return 0


def _broken(door: Door) -> ShuzhaError:
    """Keep the trace of a defect inside the domain: it may hold row data, and the screen is the tenant's (law 8)."""
    folder = door.home / "run" / "broken"
    name = f"{secrets.token_hex(8)}.txt"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return MissingPartError("platform.broken-untold")
    return MissingPartError("platform.broken", file=str(folder / name))


def _globals(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take the global options out of the arguments, wherever they stand before ``--``."""
    options: dict[str, str] = {}
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            return options, [*rest, word, *waiting]
        if name in _FLAGS:
            options[name] = "1"
        elif name in _WITH_VALUE and (equals or waiting):
            options[name] = value if equals else waiting.pop(0)
        else:
            rest.append(word)
    return options, rest
