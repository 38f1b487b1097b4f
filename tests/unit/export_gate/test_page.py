"""The evidence page: whole, safe whatever a product holds, and no more than its reader may see (E1, E3, law 6)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest

from export_gate import exports, notes
from export_gate.page import APPLIES, Page, evidence_page, not_applicable
from export_gate.page_html import render
from export_gate.page_product import MOST_ROWS, product_html
from export_gate.review import Decision
from jobs.manifest_products import READERS
from lineage.errors import DefinitionError, NotPermittedError
from lineage.kinds import Kind
from sandbox.messages import Language
from tests.factories import Stage, World, refused, vote
from tests.fixtures_domain import WorldAt


HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>\u202e\u200b'


class Tags(HTMLParser):
    """Collects tags and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, Mapping[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def page_of(world: World, login: str = "reviewer") -> Page:
    return evidence_page(world.domain, world.session(login), world.ids["export"])


@pytest.fixture
def world(world_at: WorldAt) -> World:
    return world_at(Stage.IN_REVIEW)


def test_reading_it_is_a_look_on_the_log(world: World) -> None:
    count = len(world.log())
    page_of(world)
    (entry,) = world.log()[count:]
    assert entry.kind is Kind.EXPORT_INSPECTED
    assert entry.payload["evidence"] == world.ids["digest"]


@pytest.mark.parametrize("login", ["processor", "manager", "auditor", "rival-processor", "keeper"])
def test_nobody_reads_it_who_does_not_decide(world: World, login: str) -> None:
    with refused(NotPermittedError, "permission.missing"):
        page_of(world, login)


def test_there_is_no_page_of_what_is_not_checked(world_at: WorldAt) -> None:
    with refused(DefinitionError, "export.nothing-made"):
        page_of(world_at(Stage.EXPORT_REQUESTED))


@pytest.mark.parametrize("language", Language)
def test_the_page_says_everything_a_decision_rests_on(world: World, language: Language) -> None:
    page = page_of(world)
    html = render(page, language)
    assert world.ids["digest"] in html
    assert page.job.digest in html
    assert "north" in html
    assert "health.visits" in html
    for one in page.findings:
        assert one["check"] in html
    for family in page.not_applicable:
        assert f"<code>{family}</code>" in html
    for file in page.files:
        assert file in html
    assert "data:image/svg+xml;base64," in html
    assert json.loads(json.dumps(page.json))["export"] == world.ids["export"]


def test_private_evidence_of_a_finding_is_not_on_it(world: World) -> None:
    page = page_of(world)
    assert all("evidence" not in one for one in page.findings)
    assert all("evidence" not in one for one in page.json["findings"])


def test_votes_on_it_are_those_the_reader_may_see(world: World) -> None:
    vote(world, "reviewer", Decision.REFUSE)
    notes.comment(world.domain, world.session("reviewer"), world.ids["export"], "cells are thin", private=True)
    assert (len(page_of(world, "reviewer").votes), len(page_of(world, "reviewer").notes)) == (1, 1)
    for other in ("expert", "officer"):
        page = page_of(world, other)
        assert (page.votes, page.notes) == ((), ())
        assert "cells are thin" not in render(page, Language.EN)


def test_the_budget_is_shown_before_and_after(world: World) -> None:
    costs = {(one.ledger, one.limit): one for one in page_of(world).costs}
    spent = costs["budget", "universe"]
    assert (spent.before, spent.here, spent.after) == ("0.000000", "0.010000", "0.010000")
    assert float(spent.epsilon_after) > float(spent.epsilon_before) == 0
    assert costs["bits", "tenant"].here == "0"


def test_others_are_counted_and_not_named(world_at: WorldAt) -> None:
    world = world_at(Stage.RELEASED)
    world.ids["export"] = exports.request(
        world.domain, world.session("processor"), world.ids["job"], "visits_by_clinic"
    )
    from tests.factories import check

    check(world, world.ids["export"])
    (told,) = page_of(world).told
    assert told.universe == "person"
    assert (told.tables, told.statistics) == ({"own": 0, "others": 0}, {"own": 1, "others": 0})


@pytest.mark.parametrize("kind", sorted(READERS))
def test_what_does_not_apply_is_said_for_every_kind(kind: str) -> None:
    left_out = not_applicable(kind, [])
    assert set(left_out) == {family for family, kinds in APPLIES.items() if kind not in kinds}
    assert "cells" not in not_applicable(kind, [{"check": "cells.minimum-count"}])


PRODUCTS: Mapping[str, bytes] = {
    "data.csv": f'name,n\n"{HOSTILE.replace(chr(34), chr(34) * 2)}",1\n'.encode(),
    "card.json": json.dumps({HOSTILE: HOSTILE, "list": [{"a": HOSTILE}], "flat": [HOSTILE]}).encode(),
    "text.txt": HOSTILE.encode(),
    "report.html": f"<p>{HOSTILE}</p><script>alert(2)</script>".encode(),
    "chart.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(3)"><script>alert(4)</script></svg>',
    f"{HOSTILE}.bin": b"\x00\x01",
    "broken.json": b"{",
    "broken.csv": b"\xff\xfe",
}


def test_nothing_of_a_product_becomes_markup_of_the_page() -> None:
    tags = Tags(product_html(PRODUCTS, Language.ZH))
    assert {tag for tag, _ in tags.found} & {"script", "link", "object", "embed", "meta", "style", "a", "form"} == set()
    for tag, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/")
        if tag == "iframe":
            assert attributes["sandbox"] is None


def test_signs_that_hide_or_reorder_text_are_replaced() -> None:
    shown = product_html({"text.txt": HOSTILE.encode(), "data.csv": f"a\n{chr(0x202E)}b\n".encode()}, Language.EN)
    assert "\u202e" not in shown
    assert "\u200b" not in shown


def test_the_page_loads_nothing_and_runs_nothing(world: World) -> None:
    html = render(page_of(world), Language.ZH)
    policy = next(a["content"] for tag, a in Tags(html).found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "<script" not in html
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []


def test_a_long_table_is_cut_and_says_so() -> None:
    rows = "\n".join(f"k{number},{number}" for number in range(MOST_ROWS + 5))
    shown = product_html({"data.csv": f"k,n\n{rows}\n".encode()}, Language.EN)
    assert f"k{MOST_ROWS - 1}<" in shown
    assert f"k{MOST_ROWS}<" not in shown
    assert f"the first {MOST_ROWS} are shown" in shown


def test_rows_of_another_width_are_shown_as_they_are() -> None:
    assert "<td>extra</td>" in product_html({"data.csv": b"a,b\n1\n1,2,extra\n"}, Language.EN)
