"""The command line: a thin client of the operations. It starts without Spark, pandas or OpenDP, so help is there at once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from console.door import Door, open_door, report
from lineage.errors import ShuzhaError
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
    home = Path(options.get("--home") or os.environ.get("SHUZHA_HOME") or "shuzha-home")
    door = Door(home.absolute(), options.get("--as") or os.environ.get("SHUZHA_AS"), "--json" in options, language)
    open_door(door)
    from console.app import build

    try:
        build()(rest, standalone_mode=True, prog_name="shuzha")
    except ShuzhaError as error:
        return report(door, error)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2
    return 0


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
