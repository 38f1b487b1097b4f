"""The door every command goes through: which domain, which person, which language, and one way to answer and to refuse."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.errors import Exit, NotPermittedError, Param, ShuzhaError
from sandbox.messages import Language, brief, cite, explain, text


if TYPE_CHECKING:
    from jobs.jail.spec import Jail
    from sandbox.access import Session
    from sandbox.domain import Domain


@dataclass
class Door:
    """What the global options say; opens the domain and the person's session when a command first needs them."""

    home: Path
    login: str | None
    as_json: bool
    language: Language
    home_named: bool = True

    @cached_property
    def domain(self) -> Domain:
        """The open domain."""
        from sandbox.domain import open_domain

        return open_domain(self.home)

    @cached_property
    def session(self) -> Session:
        """The person's session, by the token that the home folder or ``SHUZHA_TOKEN`` holds."""
        from sandbox.access import authenticate

        return authenticate(self.domain, self._token())

    @property
    def named(self) -> bool:
        """Whether somebody acts under a name, and not only whoever can read the home folder."""
        return self.login is not None or bool(os.environ.get("SHUZHA_TOKEN"))

    @property
    def jail(self) -> Jail:
        """The jail that the domain's settings name; refused when it is not whole (law 7)."""
        from jobs.jail.backends import jail_of
        from lineage.errors import MissingPartError

        jail = jail_of(self.domain.settings)
        found = jail.capability()
        if not found.whole:
            raise MissingPartError("jail.not-whole", parts=", ".join(found.missing))
        return jail

    def say(self, code: str, /, **params: Param) -> None:
        """Tell a person something on stderr; silent with ``--json``."""
        if not self.as_json:
            print(text(code, self.language, **params), file=sys.stderr)

    def label(self, code: str) -> str:
        """Give a label in the person's language."""
        return text(code, self.language)

    def shown(self, kind: str, value: str | Iterable[str] | None) -> str | list[str] | None:
        """Give stored words (a state, a kind, roles) as people read them; ``--json`` keeps them as they are stored."""
        if value is None or isinstance(value, str):
            return value if value is None or self.as_json else self.label(f"label.{kind}.{value.replace(' ', '-')}")
        return [str(one) if self.as_json else self.label(f"label.{kind}.{one}") for one in value]

    def reason(self, code: str) -> str:
        """Give a stored reason, of which only the code was kept, in the person's language."""
        return brief(code, self.language)

    def give(self, value: Mapping[str, Any], *, shown: str | None = None) -> None:
        """Answer: one JSON object with ``--json``, else the text for people, or ``key: value`` lines."""
        if self.as_json:
            print(json.dumps(value, ensure_ascii=False, default=str))
        elif shown is not None:
            print(shown)
        else:
            for key, item in value.items():
                print(f"{key}: {_plain(item)}")

    def give_rows(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Answer with rows: ``{"rows": [...]}`` with ``--json``, else an aligned table."""
        found = [list(row) for row in rows]
        if self.as_json:
            print(
                json.dumps(
                    {"rows": [dict(zip(columns, row, strict=True)) for row in found]}, ensure_ascii=False, default=str
                )
            )
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(*[self.label(f"column.{name}") for name in columns], box=None, pad_edge=False)
        for row in found:
            table.add_row(*[_plain(item) for item in row])
        # A pipe has no width: whatever reads it must not find broken ids.
        Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(table)

    def _token(self) -> str:
        given = os.environ.get("SHUZHA_TOKEN")
        if given:
            return given
        if self.login is None:
            raise NotPermittedError("token.nobody")
        path = self.home / "tokens" / f"{Path(self.login).name}.token"
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise NotPermittedError("token.no-file", login=self.login, file=str(path)) from error


_door: ContextVar[Door] = ContextVar("door")


def open_door(door: Door) -> None:
    """Set the door of this invocation."""
    _door.set(door)


def door() -> Door:
    """Give the door of this invocation."""
    return _door.get()


def report(found: Door | None, error: ShuzhaError) -> int:
    """Explain a refusal: what, why, what to do, which article; JSON on stdout with ``--json``. Gives the exit code."""
    language = found.language if found else Language.ZH
    told = explain(error, language)
    if found and found.as_json:
        body = {"code": error.code, "what": told.what, "why": told.why, "fix": told.fix, "article": told.article}
        problems = [
            {"code": one.code, **asdict(explain(one, language)), "params": one.params} for one in _problems(error)
        ]
        print(json.dumps({"error": {**body, "params": error.params, "problems": problems}}, ensure_ascii=False))
    else:
        _print_error(error, language)
    if found and isinstance(error, NotPermittedError):
        _record_refusal(found, error)
    return int(error.exit)


def _print_error(error: ShuzhaError, language: Language) -> None:
    told = explain(error, language)
    lines = [text("error.what", language, text=told.what), text("error.why", language, text=told.why)]
    gap = "" if language is Language.ZH else " "
    problems = (explain(problem, language) for problem in _problems(error))
    # Why says what should have stood there; without it a list of wrong values is a riddle.
    lines += [text("error.problem", language, text=f"{one.what}{gap}{one.why}") for one in problems]
    lines.append(text("error.fix", language, text=told.fix))
    if told.article:
        lines.append(text("error.article", language, article=cite(told.article, language)))
    print("\n".join(lines), file=sys.stderr)


def _problems(error: ShuzhaError) -> Sequence[ShuzhaError]:
    """Give the single problems of an error that holds several."""
    return getattr(error, "problems", ())


def _record_refusal(found: Door, error: NotPermittedError) -> None:
    """Put a refused attempt of a known person on the log (L1: behaviour leaves a trace)."""
    session = found.__dict__.get("session")
    if session is None:
        return
    from lineage.kinds import Kind

    with found.domain.change(session.actor) as change:
        change.record(Kind.ACCESS_REFUSED, [session.person], {"code": error.code})


def _plain(item: Any) -> str:
    if item is None:
        return "-"
    if isinstance(item, list | tuple | set | frozenset):
        return ", ".join(_plain(one) for one in item)
    if isinstance(item, Mapping):
        return ", ".join(f"{key}={_plain(one)}" for key, one in item.items())
    return str(item)


EXIT_USAGE = int(Exit.USAGE)
