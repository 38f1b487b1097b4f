"""The graph over the log: what came from where, what went where, on whose decisions, as of when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lineage.canonical import encode
from lineage.derivation import Derivation
from lineage.errors import DefinitionError
from lineage.graph import Graph
from lineage.kinds import Kind
from lineage.log import Actor, Entry, Log


RAW1, RAW2 = "dataset:health.visits@1", "dataset:health.visits@2"
TABLE, RUN, JOB = "table:T-1", "run:R-1", "job:J-1"
COSTS, COUNTS = "product:E-1/costs", "product:E-1/counts"
RELEASE = "release:E-1"


def derive(sources: list[str], targets: list[str], columns: dict[str, list[str]] | None = None, **nodes: Any) -> Any:
    named = {node.replace("__", ":").replace("_at_", "@"): facts for node, facts in nodes.items()}
    drawn = {column: tuple(listed) for column, listed in (columns or {}).items()}
    return Derivation(tuple(sources), tuple(targets), drawn, named).payload


# A domain's life, in the order of the log. Written by hand: number, kind, person, ids, payload.
STORY: list[tuple[Kind, str, list[str], dict[str, Any]]] = [
    (Kind.ORGANISATION_REGISTERED, "officer", ["O-2"], {}),
    (Kind.DATASET_DECLARED, "provider", ["health.visits"], {}),
    (
        Kind.DATASET_IMPORTED,
        "provider",
        ["health.visits"],
        derive(["source:aa"], [RAW1], source__aa={"title": "visits-2025.csv", "date": "2025-12-31"}),
    ),
    (Kind.DATASET_GRADED, "authority", ["health.visits"], {}),
    (
        Kind.DATASET_IMPORTED,
        "provider",
        ["health.visits"],
        derive(["source:bb", RAW1], [RAW2], source__bb={"title": "就诊记录（2026年）.csv", "date": "2026-06-30"}),
    ),
    (Kind.AGREEMENT_SIGNED, "authority", ["A-1", "O-2"], {}),
    (Kind.SCENARIO_OPENED, "tenant", ["S-1", "A-1", "O-2"], {}),
    (Kind.REQUEST_MADE, "tenant", ["Q-1", "S-1", "health.visits"], {}),
    (Kind.REQUEST_PROVIDER_APPROVED, "provider", ["Q-1"], {}),
    (Kind.REQUEST_APPROVED, "authority", ["Q-1"], {}),
    (Kind.GRANT_STARTED, "authority", ["G-1", "Q-1", "S-1", "O-2"], {}),
    (
        Kind.TABLE_PROVISIONED,
        "platform",
        ["T-1", "G-1"],
        derive([RAW2], [TABLE], {f"{TABLE}#cost": [f"{RAW2}#cost"], f"{TABLE}#clinic": [f"{RAW2}#clinic"]}),
    ),
    (Kind.JOB_SUBMITTED, "tenant", ["J-1", "S-1"], {}),
    (Kind.PROMOTION_REQUESTED, "tenant", ["PR-1", "J-1"], {}),
    (Kind.PROMOTION_APPROVED, "reviewer", ["PR-1"], {}),
    (Kind.RUN_QUEUED, "tenant", ["R-1", "J-1"], derive([JOB], [RUN])),
    (Kind.EXPORT_REQUESTED, "tenant", ["E-1", "R-1"], {}),
    (
        Kind.PRODUCT_MADE,
        "platform",
        ["E-1"],
        derive([TABLE, RUN], [COSTS], {f"{COSTS}#cost": [f"{TABLE}#cost"], f"{COSTS}#*": [f"{TABLE}#clinic"]}),
    ),
    (
        Kind.PRODUCT_MADE,
        "platform",
        ["E-1"],
        derive([TABLE, RUN], [COUNTS], {f"{COUNTS}#clinic": [f"{TABLE}#clinic"]}),
    ),
    (Kind.BUDGET_CHARGED, "platform", ["S-1"], {"export": "E-1", "epsilon": "0.5"}),
    (Kind.EXPORT_REVIEWED, "first", ["E-1", "V-1"], {}),
    (Kind.EXPORT_REVIEWED, "second", ["E-1", "V-2"], {}),
    (Kind.EXPORT_APPROVED, "authority", ["E-1"], {}),
    (Kind.EXPORT_RELEASED, "platform", ["E-1"], derive([COSTS, COUNTS], [RELEASE])),
    (Kind.RELEASE_FETCHED, "tenant", ["E-1"], {}),
    # Another story by the same ids: another export of the same run, another request in the same scenario, a third version.
    (Kind.EXPORT_REQUESTED, "tenant", ["E-2", "R-1"], {}),
    (Kind.PRODUCT_MADE, "platform", ["E-2"], derive([TABLE, RUN], ["product:E-2/other"])),
    (Kind.EXPORT_REFUSED, "authority", ["E-2"], {}),
    (Kind.REQUEST_MADE, "tenant", ["Q-2", "S-1", "health.visits"], {}),
    (Kind.REQUEST_REFUSED, "authority", ["Q-2"], {}),
    (Kind.DATASET_IMPORTED, "provider", ["health.visits"], derive(["source:cc"], ["dataset:health.visits@3"])),
    (Kind.PERSON_FILED, "officer", ["P-7", "O-2"], {}),
    (Kind.BUDGET_CHARGED, "platform", ["S-1"], {"export": "E-2", "epsilon": "0.5"}),
]
OTHER_STORY = set(range(25, 33))
NO_DECISION = {0}


def story(length: int = len(STORY)) -> list[Entry]:
    return [
        Entry(seq, kind, f"2026-11-21T12:00:{seq:02}.000Z", Actor(person, f"of {person}"), tuple(sorted(ids)), payload)
        for seq, (kind, person, ids, payload) in enumerate(STORY[:length])
    ]


GRAPH = Graph.build(story())


def test_where_a_release_came_from() -> None:
    answer = GRAPH.origins(RELEASE)
    depths = {reached.node: reached.depth for reached in answer.nodes}
    assert depths == {
        RELEASE: 0,
        COSTS: 1,
        COUNTS: 1,
        TABLE: 2,
        RUN: 2,
        RAW2: 3,
        JOB: 3,
        "source:bb": 4,
        RAW1: 4,
        "source:aa": 5,
    }
    assert answer.ends == (JOB, "source:aa", "source:bb")
    dated = {reached.node: reached.facts.get("date") for reached in answer.sources}
    assert dated == {JOB: None, "source:aa": "2025-12-31", "source:bb": "2026-06-30"}
    assert answer.problems == ()


def test_on_whose_decisions_a_release_rests() -> None:
    answer = GRAPH.origins(RELEASE)
    assert {entry.seq for entry in answer.entries} == set(range(len(STORY))) - OTHER_STORY - NO_DECISION
    assert answer.persons[Actor("authority", "of authority")] == (3, 5, 9, 10, 22)
    assert answer.persons[Actor("first", "of first")] == (20,)


def test_where_a_dataset_went() -> None:
    answer = GRAPH.destinations(RAW1)
    assert {reached.node for reached in answer.nodes} == {
        RAW1,
        RAW2,
        TABLE,
        COSTS,
        COUNTS,
        RELEASE,
        "product:E-2/other",
    }
    assert answer.ends == ("product:E-2/other", RELEASE)
    assert Kind.RELEASE_FETCHED in {entry.kind for entry in answer.entries}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            f"{RAW2}#cost",
            {RAW2: "cost", TABLE: "cost", COSTS: "cost", RELEASE: "*", "product:E-2/other": "*"},
        ),
        (
            f"{RAW2}#clinic",
            {RAW2: "clinic", TABLE: "clinic", COSTS: "*", COUNTS: "clinic", RELEASE: "*", "product:E-2/other": "*"},
        ),
        (
            f"{RAW2}#Clinic",
            {RAW2: "Clinic", TABLE: "clinic", COSTS: "*", COUNTS: "clinic", RELEASE: "*", "product:E-2/other": "*"},
        ),
        (f"{RAW2}#name", {RAW2: "name"}),
        # Version 1 went into version 2 whole: its column may be anywhere in it.
        (
            f"{RAW1}#name",
            {
                RAW1: "name",
                RAW2: "*",
                TABLE: "clinic, cost",
                COSTS: "*, cost",
                COUNTS: "clinic",
                RELEASE: "*",
                "product:E-2/other": "*",
            },
        ),
    ],
)
def test_where_a_column_went(question: str, expected: dict[str, str]) -> None:
    rows = GRAPH.destinations(question).rows()
    assert {row["node"]: row["columns"] for row in rows} == expected


def test_where_a_column_came_from() -> None:
    rows = GRAPH.origins(f"{COUNTS}#clinic").rows()
    assert {row["node"]: row["columns"] for row in rows} == {
        COUNTS: "clinic",
        TABLE: "clinic",
        RUN: "*",
        JOB: "*",
        RAW2: "clinic",
        RAW1: "*",
        "source:bb": "*",
        "source:aa": "*",
    }


def test_a_dataset_by_name_means_all_its_versions() -> None:
    nodes = {reached.node for reached in GRAPH.destinations("health.visits#cost").nodes if reached.depth == 0}
    assert nodes == {RAW1, RAW2, "dataset:health.visits@3"}
    assert GRAPH.find("dataset:health.visits") == GRAPH.find("health.visits")
    assert GRAPH.find("E-1/costs") == (COSTS,)
    assert GRAPH.find("T-1") == (TABLE,)


@pytest.mark.parametrize("name", ["", "health", "visits", "dataset:", "health.visits@9", "E-9", "#cost"])
def test_a_name_the_log_does_not_know_is_an_error(name: str) -> None:
    with pytest.raises(DefinitionError, match="unknown-node"):
        GRAPH.origins(name)


def test_a_source_that_a_column_map_does_not_mention_passes_everything() -> None:
    payload = derive(["table:a", "table:b"], ["table:c"], {"table:c#x": ["table:a#x"]})
    graph = Graph.build([Entry(0, Kind.PRODUCT_MADE, "t", Actor("p", "o"), (), payload)])
    assert {row["node"] for row in graph.destinations("table:a#y").rows()} == {"table:a"}
    assert {row["node"]: row["columns"] for row in graph.destinations("table:b#y").rows()} == {
        "table:b": "y",
        "table:c": "*",
    }


def test_the_graph_as_of_an_earlier_size() -> None:
    early = Graph.build(story(12))
    assert early.size == 12
    assert {reached.node for reached in early.destinations(RAW2).nodes} == {RAW2, TABLE}
    with pytest.raises(DefinitionError):
        early.origins(RELEASE)


def test_the_graph_is_the_same_from_the_log(new_log: Log) -> None:
    for kind, person, ids, payload in STORY:
        with new_log.change(Actor(person, f"of {person}")) as change:
            change.record(kind, ids, payload)
    with new_log.database.read() as connection:
        whole, early = Graph.read(connection), Graph.read(connection, 12)
    assert whole.origins(RELEASE).rows()[0]["time"] == "2026-11-21T12:00:00.000Z"
    assert {row["node"] for row in whole.origins(RELEASE).rows()} == {
        row["node"] for row in GRAPH.origins(RELEASE).rows()
    }
    assert [entry.seq for entry in whole.origins(RELEASE).entries] == [
        entry.seq for entry in GRAPH.origins(RELEASE).entries
    ]
    assert (early.size, len(early.edges)) == (12, 4)


def test_an_answer_is_canonical_json_and_the_same_each_time() -> None:
    answer = GRAPH.origins(RELEASE).to_json()
    assert encode(answer) == encode(Graph.build(story()).origins(RELEASE).to_json())
    read = json.loads(encode(answer))
    assert read["size"] == len(STORY)
    assert [source["date"] for source in (node["facts"] for node in read["nodes"]) if "date" in source] == [
        "2026-06-30",
        "2025-12-31",
    ]
    assert {"from": TABLE, "to": COUNTS} in [{"from": edge["from"], "to": edge["to"]} for edge in read["edges"]]


def test_an_empty_log_has_an_empty_graph() -> None:
    graph = Graph.build([])
    assert (graph.size, graph.nodes, graph.edges) == (0, {}, ())


def made(seq: int, payload: Any, *, kept: bool = True) -> Entry:
    return Entry(seq, Kind.PRODUCT_MADE, f"t{seq}", Actor("p", "o"), (), payload, kept)


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ([("table:a", "table:a")], [0]),
        ([("table:a", "table:b"), ("table:b", "table:a")], [1]),
        ([("table:a", "table:b"), ("table:b", "table:c"), ("table:c", "table:a")], [2]),
        # An origin told late closes no circle.
        ([("table:a", "table:b"), ("table:c", "table:a"), ("table:c", "table:b")], []),
    ],
)
def test_an_edge_that_closes_a_circle_is_refused_and_told(steps: list[tuple[str, str]], refused: list[int]) -> None:
    graph = Graph.build(made(seq, derive([source], [target])) for seq, (source, target) in enumerate(steps))
    assert [(problem.code, problem.params["seq"]) for problem in graph.problems] == [
        ("lineage.cycle", seq) for seq in refused
    ]
    assert len(graph.edges) == len(steps) - len(refused)


BAD_FORMS: list[Any] = [
    {"lineage": None},
    {"lineage": []},
    {"lineage": {"from": ["table:a"]}},
    {"lineage": {"from": ["table:a"], "to": "table:b"}},
    {"lineage": {"from": [1], "to": ["table:b"]}},
    {"lineage": {"from": ["a"], "to": ["table:b"]}},
    {"lineage": {"from": ["table:a#x"], "to": ["table:b"]}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"], "columns": {"table:c#x": []}}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"], "columns": {"table:b": []}}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"], "columns": {"table:b#x": ["table:c#x"]}}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"], "columns": {"table:b#x": "table:a#x"}}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"], "columns": ["table:b#x"]}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"], "nodes": {"table:a": 3}}},
    {"lineage": {"from": ["table:a"], "to": ["table:b"]}, "nodes": 3},
]


@pytest.mark.parametrize("payload", BAD_FORMS)
def test_lineage_of_another_form_is_told_and_not_guessed(payload: Any) -> None:
    graph = Graph.build([made(0, payload)])
    assert graph.edges == ()
    assert [problem.code for problem in graph.problems] == ["lineage.bad-form"]


def test_facts_may_stand_beside_the_lineage() -> None:
    payload = {"lineage": {"from": ["source:a"], "to": ["table:b"]}, "nodes": {"source:a": {"date": "2026-01-01"}}}
    assert Graph.build([made(0, payload)]).nodes["source:a"].facts == {"date": "2026-01-01"}


def test_a_later_entry_adds_facts_and_moves_no_date() -> None:
    first = derive(["source:a"], ["table:b"], source__a={"date": "2026-01-01"})
    later = derive(["source:a"], ["table:c"], source__a={"date": "2027-01-01", "title": "visits"})
    graph = Graph.build([made(0, first), made(1, later)])
    assert graph.nodes["source:a"].facts == {"date": "2026-01-01", "title": "visits"}
    assert [(problem.code, problem.params["fact"]) for problem in graph.problems] == [("lineage.fact-changed", "date")]


def test_an_entry_whose_payload_is_gone_is_told() -> None:
    graph = Graph.build([made(0, {}, kept=False)])
    assert [problem.code for problem in graph.problems] == ["lineage.payload-gone"]


def test_a_derivation_reads_back() -> None:
    written = Derivation(
        ("table:a",), ("table:b",), {"table:b#金额（元）": ("table:a#cost",)}, {"table:a": {"title": "费用"}}
    )
    assert Derivation.read(json.loads(encode(written.payload))) == written
    assert Derivation.read({}) is None
    with pytest.raises(ValueError, match="what was made"):
        Derivation(("table:a",), ())
