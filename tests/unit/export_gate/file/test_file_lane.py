"""The lane around the parsers: what is refused unseen, what is charged and when, previews, the way to a release (E2, laws 3 and 8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from export_gate import checking, exports, release
from export_gate.evidence import read_evidence
from export_gate.exports import Export, folder_of
from export_gate.file import limits
from export_gate.file.canonical import Text
from export_gate.file.capacity import TIMING_BITS, capacity
from export_gate.file.cells import Column
from export_gate.file.personal import look_for_persons
from export_gate.file.problem import PROBLEMS, UnreadableError
from export_gate.file.reading import read
from export_gate.finding import Verdict
from export_gate.previewing import preview
from export_gate.states import ExportState
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.runs import Stage as RunStage
from jobs.schema import bit_charge
from lineage.errors import BudgetError, DefinitionError
from lineage.kinds import Kind
from sandbox.columns import Grade
from sandbox.messages import catalogue
from tests import files, handing, telling
from tests.fixtures_domain import WorldAt
from tests.worlds import World, refused


@pytest.fixture
def world(world_at: WorldAt) -> World:
    return handing.open_world(world_at)


def desk(world: World) -> handing.Desk:
    return handing.Desk(world.domain, BubblewrapJail())


class Blind(handing.Desk):
    """A gate that must not be asked to open anything."""

    def work(self, *_: object) -> dict[str, Any]:
        raise AssertionError("looked at the file")


def handed(world: World, lines: str, left: Mapping[str, bytes]) -> Export:
    job = handing.submit(world, lines)
    return handing.take(desk(world), world, job, handing.leave(world, job, left))


def charged(world: World, export: str) -> list[int]:
    with world.domain.read() as connection:
        query = select(bit_charge.c.bits).where(bit_charge.c.subject == export, bit_charge.c.purpose == "file")
        return [int(bits) for bits in connection.execute(query).scalars()]


def evidence_of(world: World, found: Export) -> Mapping[str, Any]:
    return read_evidence(folder_of(world.domain, found.id), str(found.evidence_digest))


def test_a_described_file_is_charged_written_anew_and_reviewed(world: World) -> None:
    found = handed(world, handing.described("csv"), {"left": files.csv_text(), "beside": b"not asked for"})
    assert (found.state, found.verdict) == (ExportState.IN_REVIEW, Verdict.REVIEW.value)
    assert handing.reasons(found) >= {
        "file.bits-charged",
        "file.written-anew",
        "file.no-person-found",
        "file.look-at-contents",
        "policy.needs-reason",
        "rawmatch.passed",
        "attacks.passed",
    }
    assert charged(world, found.id) == [capacity(4096)]
    named = {one["name"] for one in evidence_of(world, found)["files"]}
    assert named == {"data.csv", "data.parquet", "card.json"}
    card = json.loads((folder_of(world.domain, found.id) / "product" / "card.json").read_text())
    assert (card["bits"], card["rows"], card["run"]) == (capacity(4096), 3, found.run)
    assert world.verified().holds


def test_an_approved_file_is_released_with_its_lineage(world: World) -> None:
    found = telling.approve(world, handed(world, handing.described("parquet"), {"left": files.parquet()}))
    folder = release.release(world.domain, found.id)
    assert (folder / "data" / "data.csv").read_bytes() == files.CANONICAL
    (entry,) = [one for one in world.log() if one.kind is Kind.EXPORT_CHECKED and found.id in one.subjects]
    lineage = entry.payload["lineage"]
    assert f"run:{found.run}" in lineage["from"]


def test_the_charge_is_by_what_is_reserved_and_comes_before_the_look(world: World) -> None:
    job = handing.submit(world, handing.described("csv", 3000))
    run = handing.leave(world, job, {"left": b"district,visits,share\n"})
    with pytest.raises(AssertionError, match="looked"):
        handing.take(Blind(world.domain, BubblewrapJail()), world, job, run)
    with world.domain.read() as connection:
        (export,) = exports.waiting(connection, ExportState.REQUESTED)
    assert charged(world, export.id) == [capacity(3000)]
    again = checking.check_export(desk(world), export.id)
    assert again.state is ExportState.IN_REVIEW
    assert charged(world, export.id) == [capacity(3000)]


def test_what_is_refused_is_paid_for_all_the_same(world: World) -> None:
    found = handed(world, handing.described("csv"), {"left": b"\xff"})
    assert (found.state, found.verdict) == (ExportState.REFUSED, Verdict.CANNOT_CHECK.value)
    assert handing.reasons(found) >= {"file.not-utf8", "file.bits-charged"}
    assert charged(world, found.id) == [capacity(4096)]


def test_over_the_cap_of_bits_nothing_is_looked_at(world_at: WorldAt) -> None:
    world = handing.open_world(world_at, bits=capacity(4096) + 7)
    job = handing.submit(world, handing.described("csv"))
    run = handing.leave(world, job, {"left": files.csv_text()})
    with refused(BudgetError, "bits.spent"):
        handing.take(Blind(world.domain, BubblewrapJail()), world, job, run)
    with world.domain.read() as connection:
        (found,) = exports.list_exports(connection, world.session("processor"))
    assert (found.state, "file.over-bits" in handing.reasons(found)) == (ExportState.REFUSED, True)
    assert charged(world, found.id) == []


UNSEEN = {
    "not described": ("", 0, "file.not-described"),
    "another run": (handing.described("csv"), 1, "file.other-run"),
    "too much for its grade": (handing.described("csv", 64 * 1024 + 1), 0, "file.over-grade"),
}


@pytest.mark.parametrize("name", list(UNSEEN))
def test_what_is_refused_unseen_costs_nothing(world: World, name: str) -> None:
    lines, position, reason = UNSEEN[name]
    job = handing.submit(world, lines)
    run = handing.leave(world, job, {"left": files.csv_text()}, position=position)
    found = handing.take(Blind(world.domain, BubblewrapJail()), world, job, run)
    assert (found.state, charged(world, found.id)) == (ExportState.REFUSED, [])
    assert reason in handing.reasons(found)


OUTSIDE: Mapping[str, tuple[Mapping[str, bytes], str]] = {
    "nothing": ({}, "file.not-left"),
    "a Delta folder": ({"left/part-0.parquet": files.parquet()}, "file.folder"),
    "too large": ({"left": bytes(limits.MOST_READ + 1)}, "file.too-large"),
}


@pytest.mark.parametrize("name", list(OUTSIDE))
def test_what_is_no_file_is_never_opened(world: World, name: str) -> None:
    left, reason = OUTSIDE[name]
    job = handing.submit(world, handing.described("csv"))
    found = handing.take(Blind(world.domain, BubblewrapJail()), world, job, handing.leave(world, job, left))
    assert found.state is ExportState.REFUSED
    assert reason in handing.reasons(found)


def test_a_development_run_is_previewed_without_a_charge(world: World) -> None:
    job = handing.submit(world, handing.described("json-lines"))
    run = handing.leave(world, job, {"left": files.json_lines()}, RunStage.DEVELOPMENT)
    (shown,) = preview(desk(world), world.session("processor"), job, "handed")
    assert [list(row) for row in shown.rows] == [
        ["east", "100", "0.12"],
        ["north", "7", "0.50"],
        ["south", "20", "0.25"],
    ]
    assert (shown.card["run"], shown.card["bytes"], shown.card["bits"]) == (run, len(files.CANONICAL), capacity(4096))
    assert shown.remarks == []
    with world.domain.read() as connection:
        assert not connection.execute(select(bit_charge).where(bit_charge.c.purpose == "file")).all()


def test_a_preview_says_what_the_gate_would_say(world: World) -> None:
    job = handing.submit(world, handing.described("csv"))
    handing.leave(world, job, {"left": b"district,visits,share\n\xff"}, RunStage.DEVELOPMENT)
    (shown,) = preview(desk(world), world.session("processor"), job, "handed")
    assert [code for code, _ in shown.remarks] == ["file.not-utf8"]


def test_a_production_run_is_never_previewed(world: World) -> None:
    job = handing.submit(world, handing.described("csv"))
    handing.leave(world, job, {"left": files.csv_text()})
    with refused(DefinitionError, "file.preview-no-run"):
        list(preview(Blind(world.domain, BubblewrapJail()), world.session("processor"), job, "handed"))
    undescribed = handing.submit(world, "")
    with refused(DefinitionError, "file.preview-not-described"):
        list(preview(Blind(world.domain, BubblewrapJail()), world.session("processor"), undescribed, "handed"))


def test_capacity_covers_every_answer() -> None:
    """Count the answers for small files: every byte string, half as many refusals, each after each millisecond."""
    for size in (1, 2, 3):
        strings = sum(256**length for length in range(size + 1))
        answers = (strings + 256**size // 2) * limits.JAIL_LIMITS.seconds * 1000
        assert answers <= 2 ** capacity(size)
    assert capacity(16) == 129 + TIMING_BITS
    # Sixteen bytes are the least that can be described: so many refusals there are not.
    assert len(PROBLEMS) * 2**21 < 256**16 // 2
    with pytest.raises(ValueError, match="no bytes"):
        capacity(0)


def test_the_limits_by_grade_are_total() -> None:
    assert set(limits.MOST_BYTES) == set(Grade)
    assert limits.MOST_BYTES[Grade.MOST_SENSITIVE] == limits.MOST_BYTES[Grade.RESTRICTED] == 0


def test_every_problem_can_be_said_and_only_these() -> None:
    assert set(PROBLEMS) <= set(catalogue())
    with pytest.raises(ValueError, match="not a problem"):
        UnreadableError("file.something-else")


def test_columns_that_name_their_rows_are_found() -> None:
    columns = (Column("code", "text"), Column("n", "integer"))

    def verdicts(code: str, count: int) -> set[Verdict]:
        rows = "".join(f"{code.format(number)},{number % 3}\n" for number in range(count))
        table = read(f"code,n\n{rows}".encode(), "csv", columns, 1 << 20)
        return {one.verdict for one in look_for_persons(table)}

    assert verdicts("K-{:012d}", 40) == {Verdict.BLOCK}
    assert verdicts("K-{:012d}", 10) == {Verdict.NO_ATTACK_SUCCEEDED}
    assert verdicts("ward {}", 40) == {Verdict.NO_ATTACK_SUCCEEDED}
    assert look_for_persons(Text("no one\n"))[0].verdict is Verdict.NO_ATTACK_SUCCEEDED
    assert look_for_persons(Text(f"token {'5a' * 16}\n"))[0].reason == "file.holds-token"


def test_a_type_of_column_is_one_of_five() -> None:
    for wrong in ("float", "decimal", "decimal(0)", "decimal(10)", "text(3)", ""):
        with pytest.raises(ValueError, match="no such type"):
            Column.declared("a", wrong)


def test_the_gates_limits_are_the_parsers_own(world: World) -> None:
    """The lane narrows the gate that it is given, whatever that one's limits are."""
    seen: list[object] = []

    class Looking(handing.Desk):
        def work(self, *given: Any) -> dict[str, Any]:
            seen.append(self.limits)
            return super().work(*given)

    job = handing.submit(world, handing.described("csv"))
    run = handing.leave(world, job, {"left": files.csv_text()})
    handing.take(Looking(world.domain, BubblewrapJail()), world, job, run)
    assert seen[0] == limits.JAIL_LIMITS
