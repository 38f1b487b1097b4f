"""Telling the story: each step with who did what, under which article, and the command that does the same by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from console.door import Door
from lineage.errors import Param, ShuzhaError
from sandbox.access import Session, authenticate
from sandbox.domain import Domain
from sandbox.messages import catalogue, explain, text


@dataclass
class Play:
    """One performance: the domain, everybody's sessions, what the acts found out, and how long each took."""

    door: Door
    scale: int
    seed: int
    domain: Domain | None = None
    sessions: dict[str, Session] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)

    @property
    def stage(self) -> Domain:
        """The open domain."""
        if self.domain is None:
            raise ValueError("the first act opens the domain")
        return self.domain

    def login(self, name: str, secret: str) -> None:
        """Keep a person's token in the home folder and open their session."""
        path = self.stage.home / "tokens" / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(secret, encoding="ascii")
        self.sessions[name] = authenticate(self.stage, secret)

    @contextmanager
    def step(self, name: str, number: int) -> Iterator[None]:
        """Time one step and tell its title."""
        title = text(f"story.{name}", self.door.language)
        self._event({"event": "step", "number": number, "name": name, "title": title})
        if not self.door.as_json:
            from rich.console import Console

            Console(highlight=False).rule(f"[bold]{number}. {title}", align="left", characters="─")
        started = monotonic()
        yield
        self.seconds[name] = round(monotonic() - started, 2)

    def tell(self, code: str, command: str = "", /, **params: Param) -> None:
        """Tell one event, with its article and the command that does the same by hand."""
        told = text(code, self.door.language, **params)
        article = str(catalogue()[code].get("article", ""))
        self._event({"event": "told", "code": code, "text": told, "article": article, "command": command})
        self._print(told, article, command)

    def tell_refused(self, code: str, error: ShuzhaError, command: str = "", /, **params: Param) -> None:
        """Tell a refusal that belongs to the story: what was tried, and what the platform answered."""
        answer = explain(error, self.door.language)
        told = text(code, self.door.language, **params)
        self._event(
            {"event": "refused", "code": error.code, "text": told, "answer": answer.what, "article": answer.article}
        )
        self._print(f"{told} → {answer.what}", answer.article, command)

    def finish(self, result: dict[str, Any]) -> None:
        """Give the last object."""
        if self.door.as_json:
            print(json.dumps(result, ensure_ascii=False))

    def _event(self, value: dict[str, Any]) -> None:
        if self.door.as_json:
            print(json.dumps(value, ensure_ascii=False), flush=True)

    def _print(self, told: str, article: str, command: str) -> None:
        if self.door.as_json:
            return
        from rich.console import Console
        from rich.markup import escape

        console = Console(highlight=False, soft_wrap=True, file=sys.stdout)
        mark = f" [cyan]〔{article}〕[/cyan]" if article else ""
        console.print(f"  • {escape(told)}{mark}")
        if command:
            console.print(f"    [dim]$ {escape(command)}[/dim]")
