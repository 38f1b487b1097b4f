"""Exports on the command line: approving names a digest, notes go back and forth, what is revoked is said to be (E1, L5)."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from console.main import main
from lineage.errors import Exit
from sandbox import domain as domains
from tests.factories import Stage, World, approve_export, vote
from tests.fixtures_domain import WorldAt


Typed = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command as somebody, in the domain's own time; gives the exit code and the answer."""
    opened = domains.open_domain

    def give(world: World, login: str, *words: str) -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr(domains, "open_domain", partial(opened, clock=world.hands))
        monkeypatch.setenv("SHUZHA_TOKEN", world.tokens[login])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = main([*words, "--home", str(world.domain.home), "--json"])
        text = out.getvalue()
        return code, json.loads(text) if text else {}

    return give


def test_nobody_approves_without_naming_what_they_saw(world_at: WorldAt, typed: Typed) -> None:
    world = world_at(Stage.IN_REVIEW)
    export, digest = world.ids["export"], world.ids["digest"]
    code, told = typed(world, "reviewer", "export", "approve", export, "--reason", "fine")
    assert (code, told["error"]["code"]) == (Exit.DEFINITION, "export.digest-missing")
    code, told = typed(world, "reviewer", "export", "approve", export, "--reason", "fine", "--digest", "0" * 64)
    assert told["error"]["code"] == "export.not-what-you-saw"
    code, told = typed(world, "reviewer", "export", "approve", export, "--reason", "fine", "--digest", digest)
    assert (code, told["state"]) == (0, "in-review")


def test_a_question_is_answered_and_shown_with_its_owner(world_at: WorldAt, typed: Typed) -> None:
    world = world_at(Stage.IN_REVIEW)
    export = world.ids["export"]
    assert typed(world, "reviewer", "export", "comment", export, "--text", "thin")[1]["private"] is True
    assert typed(world, "reviewer", "export", "return", export, "--question", "what for?")[1]["owner"] == "tenant"
    _, shown = typed(world, "processor", "export", "show", export)
    assert [(one["kind"], one["text"]) for one in shown["notes"]] == [("question", "what for?")]
    assert typed(world, "processor", "export", "answer", export, "--text", "clinics")[1]["state"] == "in-review"
    world.hands.forward(days=8)
    _, listed = typed(world, "officer", "export", "list")
    assert [(row["late"], row["state"]) for row in listed["rows"]] == [(True, "in-review")]
    assert typed(world, "processor", "export", "withdraw", export, "--reason", "no need")[1]["state"] == "withdrawn"


@pytest.mark.parametrize("name", ["page.html", "page.json", "page.pdf"])
def test_the_page_is_written_in_the_form_its_name_says(
    world_at: WorldAt, typed: Typed, tmp_path: Path, name: str
) -> None:
    world = world_at(Stage.IN_REVIEW)
    target = tmp_path / name
    code, told = typed(world, "expert", "export", "inspect", world.ids["export"], "--page", str(target))
    if name == "page.pdf":
        assert told["error"]["code"] == "page.unknown-form"
        assert not target.exists()
        return
    assert (code, told["digest"]) == (0, world.ids["digest"])
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") if name == "page.html" else json.loads(text)["evidence"] == told["digest"]


def test_verify_says_revoked_when_given_the_list(world_at: WorldAt, typed: Typed, tmp_path: Path) -> None:
    world = world_at(Stage.IN_REVIEW)
    vote(world, "reviewer")
    vote(world, "expert")
    approve_export(world)
    export, public = world.ids["export"], world.domain.home / "public"
    assert typed(world, "officer", "export", "release", export)[0] == 0
    copy = typed(world, "processor", "export", "fetch", export, "--into", str(tmp_path))[1]["release"]
    verify = ("release", "verify", copy, "--key", str(public / "domain.pub"))
    assert typed(world, "officer", "release", "revocations")[0] == 0
    code, told = typed(world, "processor", *verify, "--revoked", str(public / "revoked.txt"))
    assert (code, told["not_revoked_as_of"]) == (0, "2026-11-21T12:00:00.000Z")
    assert typed(world, "officer", "export", "revoke", export, "--reason", "misused")[1]["state"] == "revoked"
    code, told = typed(world, "processor", *verify, "--revoked", str(public / "revoked.txt"))
    assert (code, told["error"]["code"]) == (Exit.GATE_REFUSED, "release.revoked")
    code, told = typed(world, "processor", *verify)
    assert (code, told["not_revoked_as_of"]) == (0, None)
    code, told = typed(world, "processor", *verify, "--revoked", str(tmp_path / "none"))
    assert (code, told["error"]["code"]) == (Exit.GATE_REFUSED, "release.bad-revocations")
