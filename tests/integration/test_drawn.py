"""A chart and a report from request to verified release, drawn in the gate's real jail; and their previews (B22, B23, E1–E4)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from PIL import Image

from console.main import main
from export_gate import exports, release
from export_gate.checking import check_export
from export_gate.exports import Export
from export_gate.gatekeeper import Gatekeeper
from export_gate.previewing import preview
from export_gate.review import inspect
from export_gate.revoking import revoke
from export_gate.states import ExportState
from export_gate.verifying import verify_release
from jobs import promotion, submitting
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from lineage.errors import GateRefusedError, WaitingError
from lineage.graph import Graph
from sandbox import domain as domains
from sandbox.grants import Zone, get_grant, tables_of, zone_opened
from tests.factories import Stage, World, refused
from tests.fixtures_domain import WorldAt
from tests.selftests import file_real
from tests.telling import approve, desk, grant_of, people, provision_rows


NEEDS_JAIL = pytest.mark.skipif(
    os.geteuid() != 0 or not BWRAP.exists() or shutil.which("gocryptfs") is None, reason="needs root and bubblewrap"
)
DRAWN = {"chart.png", "chart.svg"}
JOB = """
[job]
name = "drawn"
scenario = "{scenario}"

[inputs]
visits = "health.visits"

[[product]]
name = "by_district"
kind = "table"
sql = "SELECT district, COUNT(*) AS visits FROM visits GROUP BY district"

[[product]]
name = "map"
kind = "chart"
of = "by_district"
spec = "map.vl.json"

[[product]]
name = "summary"
kind = "report"
text = "summary.md"
"""
SPEC = """
{"title": "各区就诊人次", "mark": "bar",
 "encoding": {"x": {"field": "district", "type": "nominal", "title": "区"},
              "y": {"field": "visits", "type": "quantitative", "title": "人次"}}}
"""
TEXT = """# 1 就诊简报

2026年，北部就诊 {{ by_district.cell("visits", district="north") }} 人次。

{{ by_district.table() }}

{{ map.chart() }}
"""


@pytest.fixture
def world(world_at: WorldAt) -> World:
    made = world_at(Stage.SCENARIO)
    file_real(made.domain)
    grant_of(made, "medica")
    provision_rows(made, "medica", people(60), 1)
    folder = made.domain.home.parent / "drawn"
    folder.mkdir()
    (folder / "job.toml").write_text(JOB.format(scenario=made.ids["scenario"]))
    (folder / "map.vl.json").write_text(SPEC)
    (folder / "summary.md").write_text(TEXT)
    session = made.session("processor")
    made.ids["job"] = submitting.submit(made.domain, session, folder).id
    asked = promotion.request(made.domain, session, made.ids["job"])
    promotion.decide(made.domain, made.session("reviewer"), asked, approve=True, reason="read")
    return made


def ask(world: World, product: str, gate: Gatekeeper) -> Export:
    identity = exports.request(world.domain, world.session("processor"), world.ids["job"], product)
    return check_export(gate, identity)


def let_out(world: World, found: Export) -> Path:
    assert found.state is ExportState.IN_REVIEW, found.reasons
    return release.release(world.domain, approve(world, found).id)


@pytest.mark.jail
@NEEDS_JAIL
def test_the_whole_way(world: World) -> None:
    jailed = Gatekeeper(world.domain, BubblewrapJail())
    table = ask(world, "by_district", desk(world))
    let_out(world, table)
    chart = ask(world, "map", jailed)
    seen = inspect(world.domain, world.session("reviewer"), chart.id)
    assert set(seen) == DRAWN
    _picture(seen)
    drawn = let_out(world, chart)
    report = ask(world, "summary", jailed)
    assert {one["check"]: one["verdict"] for one in report.reasons}["words.digits"] == "no attack succeeded"
    folder = let_out(world, report)
    page = (folder / "data" / "report.html").read_text()
    assert "北部就诊 30 人次" in page
    assert (folder / "data" / "report.pdf").read_bytes().startswith(b"%PDF-1.7")
    log, key = world.domain.log.signer.verifier, world.domain.release_signer.verifier
    for path, source in ((drawn, table), (folder, chart)):
        manifest = verify_release(path, log, key).manifest
        assert manifest["label"] == "recomputed"
        named = next(one["parameters"] for one in manifest["checks"] if one["check"] == "drawn.sources")
        assert source.id in named.values()
    with world.domain.read() as connection:
        origins = Graph.read(connection).origins(f"release:{report.id}")
    assert any(one.node.startswith("table:") or "health.visits" in str(one.facts) for one in origins.sources)


def _picture(files: Mapping[str, bytes]) -> None:
    with Image.open(io.BytesIO(files["chart.png"])) as picture:
        assert not picture.info
        levels = set(picture.convert("RGB").tobytes())
    assert len(levels) > 5
    assert all(level % 17 == 0 for level in levels)
    svg = files["chart.svg"].decode()
    assert "各区就诊人次" in svg
    for word in ("aria", "class", "metadata", "script", "href", "<!"):
        assert word not in svg


def test_a_chart_waits_for_its_numbers(world: World) -> None:
    """Nothing drawn leaves before the numbers that it shows; afterwards the same export goes on."""
    gate = desk(world)
    identity = exports.request(world.domain, world.session("processor"), world.ids["job"], "map")
    with refused(WaitingError, "chart.waits"):
        check_export(gate, identity)
    table = ask(world, "by_district", gate)
    with refused(WaitingError, "chart.waits"):
        check_export(gate, identity)
    let_out(world, table)
    assert check_export(gate, identity).state is ExportState.IN_REVIEW


def fill_view(world: World) -> None:
    """Give the view twenty people's rows, as provisioning does."""
    with world.domain.read() as connection:
        given = get_grant(connection, world.ids["grant:medica"])
        (view,) = tables_of(connection, given, Zone.VIEW).values()
    rows = people(20)
    with zone_opened(world.domain, given, Zone.VIEW) as folder:
        write_deltalake(folder / view.id, pa.table({name: [one[name] for one in rows] for name in rows[0]}))
        for path in (folder / view.id, *(folder / view.id).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_previews_show_the_view_and_nothing_is_released(world: World) -> None:
    fill_view(world)
    shown = {one.product: one for one in preview(desk(world), world.session("processor"), world.ids["job"])}
    assert set(shown) == {"by_district", "map", "summary"}
    assert set(shown["map"].files) == {"chart.png", "chart.svg"}
    assert "北部就诊 10 人次" in shown["summary"].files["report.html"].decode()


def test_what_was_drawn_from_a_revoked_release_does_not_leave(world: World) -> None:
    """Approved and all: the numbers were revoked meanwhile."""
    gate = desk(world)
    table = ask(world, "by_district", gate)
    let_out(world, table)
    chart = approve(world, ask(world, "map", gate))
    revoke(world.domain, world.session("officer"), table.id, reason="counted wrongly")
    with refused(GateRefusedError, "chart.source-revoked"):
        release.release(world.domain, chart.id)
    with refused(WaitingError, "chart.waits"):
        ask(world, "map", gate)


def test_a_description_outside_the_subset_is_kept_in_with_its_place(world: World) -> None:
    gate = desk(world)
    let_out(world, ask(world, "by_district", gate))
    spec = SPEC.replace('"mark"', '"data": {"url": "x"}, "mark"')
    found = _again(world, gate, spec=spec)
    assert found.state is ExportState.REFUSED
    assert {"reason": "chart.not-allowed", "params": {"place": "spec.data"}}.items() <= dict(found.reasons[0]).items()


def _again(world: World, gate: Gatekeeper, *, spec: str) -> Export:
    """Submit the job anew with another chart, have its numbers released, and ask for the chart."""
    session = world.session("processor")
    folder = world.domain.home.parent / "drawn"
    (folder / "map.vl.json").write_text(spec)
    world.ids["job"] = submitting.submit(world.domain, session, folder).id
    asked = promotion.request(world.domain, session, world.ids["job"])
    promotion.decide(world.domain, world.session("reviewer"), asked, approve=True, reason="read")
    with refused(WaitingError, "chart.waits"):
        ask(world, "map", gate)
    let_out(world, ask(world, "by_district", gate))
    return ask(world, "map", gate)


@pytest.mark.jail
@NEEDS_JAIL
def test_the_whole_way_by_command_line(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Preview with its picture kept, request, look, decisions, release, fetching and verification of a chart."""
    fill_view(world)
    let_out(world, ask(world, "by_district", desk(world)))
    monkeypatch.setattr(domains, "open_domain", partial(domains.open_domain, clock=world.hands))

    def typed(login: str, *words: str) -> dict[str, Any]:
        monkeypatch.setenv("SHUZHA_TOKEN", world.tokens[login])
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([*words, "--home", str(world.domain.home), "--json"]) == 0, out.getvalue()
        return dict(json.loads(out.getvalue().splitlines()[-1]))

    job, kept = world.ids["job"], tmp_path / "kept"
    assert set(typed("processor", "job", "preview", job, "--product", "map", "--into", str(kept))["files"]) == DRAWN
    assert {path.name for path in (kept / "map").iterdir()} == DRAWN
    export = str(typed("processor", "export", "request", job, "map")["export"])
    page = tmp_path / "page.html"
    for login in ("reviewer", "expert", "officer"):
        assert {one["name"] for one in typed(login, "export", "inspect", export)["files"]} == DRAWN
        typed(login, "export", "inspect", export, "--page", str(page))
        assert "data:image/png;base64," in page.read_text()
        with world.domain.read() as connection:
            digest = str(exports.get_export(connection, export).evidence_digest)
        typed(login, "export", "approve", export, "--reason", "read", "--digest", digest)
    typed("processor", "export", "fetch", export, "--into", str(tmp_path / "inbox"))
    key = world.domain.home / "public" / "domain.pub"
    typed("processor", "release", "verify", str(tmp_path / "inbox" / export), "--key", str(key))
