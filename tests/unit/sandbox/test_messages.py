"""The message catalogue is whole: two languages that say the same, a word for every value, and no advice that leads nowhere."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

import export_gate.states
import jobs.states
import sandbox.states
from console.app import GROUPS, build
from console.commands.platform import TOP
from console.door import Door, report
from console.main import _FLAGS, _WITH_VALUE
from export_gate.finding import Verdict
from export_gate.ledger import Caps
from export_gate.policy import LABELS, Label
from jobs.jail.spec import Ending
from jobs.runs import Stage
from lineage.errors import DefinitionError, Exit, NotPermittedError
from sandbox import columns, messages
from sandbox.agreements import REQUIRED_TERMS
from sandbox.messages import Language, brief, catalogue, cite, explain, language_from_environment, text
from sandbox.roles import OrganisationKind, Permission, Role
from sandbox.states import Machine


BOTH = tuple(Language)
ROOT = Path(__file__).parents[3]
MODULES: tuple[ModuleType, ...] = (sandbox.states, jobs.states, export_gate.states)
MACHINES: list[Machine[Any]] = [one for module in MODULES for one in vars(module).values() if isinstance(one, Machine)]
CODES = sorted(catalogue())


def lines(code: str, language: Language) -> list[str]:
    """Every text of an entry in one language."""
    entry = catalogue()[code][language.value]
    return [entry] if isinstance(entry, str) else [entry[part] for part in ("what", "why", "fix")]


def placeholders(code: str, language: Language) -> set[str]:
    parsed = (part for line in lines(code, language) for part in string.Formatter().parse(line))
    return {name for _, name, _, _ in parsed if name is not None}


class TestEntries:
    def test_both_languages_say_the_same_with_the_same_parameters(self) -> None:
        assert [code for code in CODES if placeholders(code, Language.ZH) != placeholders(code, Language.EN)] == []

    def test_the_english_text_holds_no_chinese(self) -> None:
        assert [code for code in CODES if re.search(r"[\u4e00-\u9fff]", "".join(lines(code, Language.EN)))] == []

    @pytest.mark.parametrize("language", BOTH)
    def test_placeholders_are_plain_names(self, language: Language) -> None:
        parsed = (part for code in CODES for line in lines(code, language) for part in string.Formatter().parse(line))
        odd = [part for part in parsed if part[1] is not None and (not part[1].isidentifier() or part[2] or part[3])]
        assert odd == []

    @pytest.mark.parametrize("language", BOTH)
    def test_every_article_can_be_named_in_words(self, language: Language) -> None:
        articles = {catalogue()[code]["article"] for code in CODES if "article" in catalogue()[code]}
        assert {"C25", "J11"} <= articles
        assert all(cite(article, language) for article in articles)

    def test_what_a_tenant_may_not_see_is_refused_without_naming_it(self) -> None:
        assert placeholders("access.not-found", Language.ZH) == set()

    def test_a_code_in_two_files_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("a.toml", "b.toml"):
            (tmp_path / name).write_text('["x.y"]\nzh = "甲"\nen = "a"\n', encoding="utf-8")
        monkeypatch.setattr(messages, "__file__", str(tmp_path / "__init__.py"))
        with pytest.raises(ValueError, match=r"x\.y is defined twice, again in b\.toml"):
            catalogue.__wrapped__()


def is_whole(code: str) -> bool:
    return all(text(code, language).strip() for language in BOTH)


ENUMS: dict[str, type[StrEnum]] = {
    "label.role": Role,
    "label.kind": OrganisationKind,
    "label.permission": Permission,
    "label.trust": Label,
    "label.verdict": Verdict,
    "label.column-role": columns.Role,
    "label.subject-kind": columns.SubjectKind,
    "label.stage": Stage,
    "reason.ended": Ending,
}


class TestTotality:
    @pytest.mark.parametrize(("area", "value"), [(area, value) for area, enum in ENUMS.items() for value in enum])
    def test_every_value_has_its_word(self, area: str, value: StrEnum) -> None:
        assert is_whole(f"{area}.{value}")

    @pytest.mark.parametrize("area", ENUMS)
    def test_no_word_is_left_of_a_value_that_is_gone(self, area: str) -> None:
        known = {re.sub("[_: ]", "-", value) for value in ENUMS[area]}
        assert {code.removeprefix(f"{area}.") for code in CODES if code.startswith(f"{area}.")} == known

    @pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.subject)
    def test_every_machine_and_every_state_of_it_has_its_word(self, machine: Machine[Any]) -> None:
        assert is_whole(f"label.{machine.subject}")
        assert all(is_whole(f"label.{machine.subject}.{state}") for state in machine.states)

    def test_the_machines_are_found(self) -> None:
        assert {"organisation", "request", "run", "promotion", "export"} <= {one.subject for one in MACHINES}

    @pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.subject)
    def test_a_refused_move_is_told_in_words(self, machine: Machine[Any]) -> None:
        state = min(machine.following)
        with pytest.raises(DefinitionError) as refused:
            machine.check_move(state, state)
        for language in BOTH:
            assert "label." not in explain(refused.value, language).what

    @pytest.mark.parametrize("term", REQUIRED_TERMS)
    def test_every_term_of_an_agreement_has_its_word(self, term: str) -> None:
        assert is_whole(f"label.term.{term}")

    @pytest.mark.parametrize("kind", LABELS)
    def test_every_kind_of_product_has_its_word(self, kind: str) -> None:
        assert is_whole(f"label.product.{kind}")

    @pytest.mark.parametrize("limit", [one.name for one in fields(Caps) if one.name != "delta"])
    def test_every_limit_has_its_word(self, limit: str) -> None:
        assert is_whole(f"label.limit.{limit}")


def headings() -> Iterator[str]:
    """Names of columns that the console's tables have, read from its sources: lists that are given, or given by name."""
    for path in sorted((ROOT / "console").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".give_rows"):
                given = node.args[0]
                yield from ast.literal_eval(named[given.id] if isinstance(given, ast.Name) else given)


COMMANDS = {f"{group} {command}" for group, commands in GROUPS.items() for command in commands} | set(TOP)


def options() -> set[str]:
    """Every option of every command, and those that stand anywhere."""

    def walk(command: Any) -> Iterator[str]:
        for parameter in command.params:
            yield from (*parameter.opts, *parameter.secondary_opts)
        for sub in getattr(command, "commands", {}).values():
            yield from walk(sub)

    return {*walk(typer.main.get_command(build())), *_FLAGS, *_WITH_VALUE, "--help"}


class TestConsole:
    @pytest.mark.parametrize("name", sorted(set(headings())))
    def test_every_heading_has_its_word(self, name: str) -> None:
        assert is_whole(f"column.{name}")

    def test_the_headings_are_found(self) -> None:
        assert {"epsilon_left", "quarantined", "depth", "organisation"} <= set(headings())

    def test_help_covers_exactly_the_commands(self) -> None:
        wanted = {"help.shuzha"} | {f"help.{group}" for group in GROUPS}
        wanted |= {f"help.{command.replace(' ', '.')}" for command in COMMANDS}
        assert {code for code in CODES if code.startswith("help.")} == wanted

    def test_advice_names_only_commands_that_exist(self) -> None:
        named = {
            command
            for code in CODES
            for line in lines(code, Language.ZH) + lines(code, Language.EN)
            for command in re.findall(r"shuzha ([a-z]+(?: [a-z]+)?)", line)
        }
        assert "export show" in named
        assert {command for command in named - COMMANDS if command.split()[0] not in TOP} == set()

    def test_advice_names_only_options_that_exist(self) -> None:
        named = {
            option
            for code in CODES
            for line in lines(code, Language.ZH) + lines(code, Language.EN)
            for option in re.findall(r"--[a-z][a-z-]*", line)
        }
        assert "--until" in named
        assert named - options() == set()

    def test_an_error_is_told_in_four_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        door = Door(Path("nowhere"), None, as_json=False, language=Language.ZH)
        assert report(door, NotPermittedError("law.own-matter")) == Exit.NOT_PERMITTED
        told = capsys.readouterr().err.splitlines()
        assert [line.partition("：")[0] for line in told] == ["未能完成", "原因", "办法", "依据"]
        assert told[-1] == "依据：《济南市公共数据授权运营办法》（市政府令第286号）第11条"


class TestBrief:
    @pytest.mark.parametrize("language", BOTH)
    def test_every_message_can_be_told_without_its_parameters(self, language: Language) -> None:
        for code in CODES:
            first, told = lines(code, language)[0], brief(code, language)
            assert told == re.sub(r"(?<!{){[a-z_]+}(?!})", "…", first).replace("{{", "{").replace("}}", "}")

    def test_what_was_not_kept_is_an_ellipsis(self) -> None:
        assert brief("grant.not-named", Language.EN) == "… is not named in the grant, or may not work now."

    def test_a_reason_without_parameters_is_told_in_full(self) -> None:
        assert brief("reason.ended.memory", Language.ZH) == "超过内存限额。"

    def test_the_door_tells_a_stored_error_code(self) -> None:
        door = Door(Path("nowhere"), None, as_json=False, language=Language.EN)
        assert door.reason("promotion.missing") == "The job … is not promoted."

    def test_an_unknown_code_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            brief("reason.nobody-wrote", Language.ZH)


class TestText:
    def test_labels_among_the_parameters_are_translated(self) -> None:
        error = DefinitionError("agreement.terms-missing", terms="label.term.exit|label.term.asset_disposal")
        assert explain(error, Language.ZH).what == "协议缺少以下条款：退出机制、到期资产处置。"
        assert explain(error, Language.EN).what == "The agreement lacks these terms: exit, disposal of assets."

    def test_what_only_looks_like_a_label_stays_as_it_is(self) -> None:
        assert "label.nobody-wrote" in text("done.organisation-restored", Language.EN, name="label.nobody-wrote")

    def test_a_missing_parameter_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            text("done.organisation-restored", Language.ZH)

    def test_a_stored_value_ends_a_code_as_it_is(self) -> None:
        assert text(f"label.permission.{Permission.TOKEN_ISSUE}", Language.EN) == "draw the first half of a token"

    def test_braces_in_a_parameter_are_only_text(self) -> None:
        assert "{secret}" in text("done.organisation-restored", Language.EN, name="{secret}")

    def test_an_error_names_its_article_by_code(self) -> None:
        assert explain(NotPermittedError("law.own-matter"), Language.EN).article == "J11"

    @pytest.mark.parametrize(
        ("article", "words"),
        [
            ("C25", "《长春市公共数据授权运营管理办法》（长府规〔2023〕3号）第25条"),
            ("Q3.1.8", "泉州市数据监管规则（2021年）第3.1.8条"),
        ],
    )
    def test_an_article_is_named_in_words(self, article: str, words: str) -> None:
        assert cite(article, Language.ZH) == words

    @pytest.mark.parametrize(("article", "error"), [("article 25", ValueError), ("", ValueError), ("ZZ1", KeyError)])
    def test_an_article_nobody_knows_is_an_error(self, article: str, error: type[Exception]) -> None:
        with pytest.raises(error):
            cite(article, Language.ZH)

    @pytest.mark.parametrize(
        ("set_to", "language"),
        [("en", Language.EN), ("en_GB.UTF-8", Language.EN), ("zh", Language.ZH), ("", Language.ZH)],
    )
    def test_the_environment_chooses_the_language(
        self, set_to: str, language: Language, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHUZHA_LANG", set_to)
        assert language_from_environment() is language

    def test_chinese_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SHUZHA_LANG", raising=False)
        assert language_from_environment() is Language.ZH
