"""The glossary says what the code says: every value of the domain's enums, with the words of the message catalogue."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest

from export_gate.finding import Verdict
from export_gate.policy import Label
from export_gate.states import ExportState
from jobs.manifest_products import READERS
from jobs.runs import Stage
from jobs.states import PromotionState, RunState
from sandbox.columns import Grade, SubjectKind
from sandbox.columns import Role as ColumnRole
from sandbox.messages import catalogue
from sandbox.roles import OrganisationKind, Role
from sandbox.states import AgreementState, GrantState, OrganisationState, PersonState, RequestState, ScenarioState


ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
SECTIONS: dict[str, tuple[str, Iterable[str]]] = {
    "Roles": ("role", Role),
    "Organisations": ("kind", OrganisationKind),
    "Column roles": ("column-role", ColumnRole),
    "Subjects": ("subject-kind", SubjectKind),
    "Standing of organisations": ("organisation", OrganisationState),
    "Persons": ("person", PersonState),
    "Agreements": ("agreement", AgreementState),
    "Scenarios": ("scenario", ScenarioState),
    "Requests": ("request", RequestState),
    "Grants": ("grant", GrantState),
    "Stages": ("stage", Stage),
    "Runs": ("run", RunState),
    "Promotions": ("promotion", PromotionState),
    "Exports": ("export", ExportState),
    "Verdicts": ("verdict", Verdict),
    "Labels of trust": ("trust", Label),
    "Kinds of product": ("product", READERS),
}
"""Heading (its English half) → prefix of the labels, and the values."""
PACKAGES = ("lineage", "sandbox", "desensitize", "jobs", "export_gate")


def rows_under(heading: str) -> list[list[str]]:
    """Give the cells of the table under a heading, without its head."""
    (body,) = re.findall(rf"^#+ [^\n]* · {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    lines = [line for line in body.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("heading", SECTIONS)
def test_values_are_those_of_the_code(heading: str) -> None:
    prefix, values = SECTIONS[heading]
    expected = []
    for value in values:
        label = catalogue()[f"label.{prefix}.{re.sub('[_ ]', '-', str(value))}"]
        expected.append([f"`{value}`", label["zh"], label["en"]])
    assert rows_under(heading) == expected


def test_grades_are_those_of_the_code() -> None:
    assert [row[0] for row in rows_under("Grades")] == [f"`{int(grade)}`" for grade in Grade]
    assert [row[2].replace(" ", "_").upper() for row in rows_under("Grades")] == [grade.name for grade in Grade]


def test_letters_are_those_that_messages_cite() -> None:
    letters = {row[0].strip("*"): row[1] for row in rows_under("Letters of the regulations")}
    cited = {code.removeprefix("label.law.").upper(): code for code in catalogue() if code.startswith("label.law.")}
    assert set(letters) == set(cited) | {"CD", "T"}
    for letter, code in cited.items():
        assert letters[letter] == catalogue()[code]["zh"]


def names_in(package: str) -> set[str]:
    """Give every name that the source of a package mentions."""
    folder = Path(str(importlib.import_module(package).__file__)).parent
    return {name for path in folder.rglob("*.py") for name in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


def test_identifiers_of_the_domain_are_in_the_code() -> None:
    known = set().union(*(names_in(package) for package in PACKAGES))
    named = {name for row in rows_under("The domain") for name in re.findall(r"`(\w+)(?:\.\w+)?`", row[2])}
    assert len(named) >= len(rows_under("The domain"))
    assert named <= known


def test_every_state_machine_is_in_the_glossary() -> None:
    listed = {values for _, values in SECTIONS.values() if isinstance(values, type) and issubclass(values, StrEnum)}
    states = {
        value
        for module in ("sandbox.states", "jobs.states", "export_gate.states")
        for name, value in vars(importlib.import_module(module)).items()
        if name.endswith("State") and isinstance(value, type)
    }
    assert states <= listed
