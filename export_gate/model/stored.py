"""The bytes that would leave: no training row, no rare category, no surplus field, and the same answers as the measured model (E2).

Each search runs twice, for the rows the model saw and for rows it never saw: what is found as often in both is chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export_gate.finding import Finding, Verdict
from export_gate.model.membership import by_subject, excess
from export_gate.model.onnx_export import AGREEMENT, CLASS_OUTPUTS, NUMBER_OUTPUTS, PRODUCER, ROWS, agreement
from export_gate.model.onnx_walk import OPERATORS, Content, read_content
from export_gate.model.train import Sample, Trained
from lineage.errors import Param


EXCESS_ROWS = 0.01
"""How much oftener a training row may be found than a hold-out row."""
EXCESS_VALUES = 0.05
"""The same for the values of one column."""
DISTINCT = 20
"""Columns with fewer distinct values are found by chance anywhere."""
QUANTILE = 4
"""Standard errors a difference must exceed: many columns are looked at, and numbering of nodes is full of small whole numbers."""
CHUNK = 100_000
_WORDS = frozenset(
    {
        "LOGISTIC",
        "NONE",
        "SOFTMAX",
        "BRANCH_LEQ",
        "LEAF",
        "SUM",
        "L1",
        "MAX",
        "SOFTMAX_ZERO",
        PRODUCER,
        ROWS,
        "ai.onnx.ml",
    }
)
"""Words of the standard that a converted estimator may contain."""


@dataclass(frozen=True)
class FoundRows:
    """Whether each row of a table was found in a model, and how many of the found ones cannot be chance."""

    found: NDArray[np.bool_]
    certain: int


def check_bytes(onnx: bytes, trained: Trained) -> tuple[Finding, ...]:
    """Judge the exported bytes; bytes that cannot be read cannot be checked (law 7)."""
    try:
        content = read_content(onnx)
    except ValueError:
        return (Finding("model.content", 1, Verdict.CANNOT_CHECK, "model.content-unknown"),)
    return (_check_content(content), _check_strings(content, trained), _check_rows(content, trained))


def check_agreement(onnx: bytes, trained: Trained) -> Finding:
    """Compare the exported model with the measured one: checks on another model would say nothing."""
    share = agreement(onnx, trained)
    agrees = share >= AGREEMENT
    verdict = Verdict.NO_ATTACK_SUCCEEDED if agrees else Verdict.CANNOT_CHECK
    reason = "model.export-agrees" if agrees else "model.export-differs"
    return Finding("model.agreement", 1, verdict, reason, {}, {"least": str(AGREEMENT)}, {"share": f"{share:.4f}"})


def _check_content(content: Content) -> Finding:
    """Only listed operators, and no field that carries words beside the model."""
    foreign = content.operators - OPERATORS
    sound = not foreign and not content.surplus
    verdict = Verdict.NO_ATTACK_SUCCEEDED if sound else Verdict.BLOCK
    reason = "model.content-plain" if sound else "model.content-foreign"
    evidence: dict[str, Param] = {
        "operators": " ".join(sorted(operator for _, operator in foreign)),
        "fields": " ".join(sorted(content.surplus)),
    }
    return Finding("model.content", 1, verdict, reason, {}, {"operators": len(OPERATORS)}, evidence)


def allowed_strings(trained: Trained) -> frozenset[str]:
    """The text a released model may hold besides names: kept categories, classes and the words of the standard."""
    kept = {category for column in trained.encoder.texts for category in column.categories}
    classes = {str(name) for name in getattr(trained.estimator, "classes_", ())}
    return frozenset({"", *kept, *classes, *_WORDS})


def _check_strings(content: Content, trained: Trained) -> Finding:
    """No text may be inside that was not decided on: a rare category is an identifier (attack: the vocabulary leak)."""
    from onnx import defs

    schemas = {(schema.domain, schema.name): schema for schema in defs.get_all_schemas_with_history()}
    listed = [schemas[operator] for operator in content.operators & schemas.keys()]
    attributes = {name for schema in listed for name in schema.attributes}
    outputs = {*CLASS_OUTPUTS.values(), *NUMBER_OUTPUTS.values()}
    names = {"", "model", *attributes, *outputs, *trained.description.features}
    unknown = content.strings - allowed_strings(trained) - {schema.name for schema in listed}
    unknown |= {name for name in content.names - names if not _is_inner(name)}
    verdict = Verdict.BLOCK if unknown else Verdict.NO_ATTACK_SUCCEEDED
    reason = "model.strings-unknown" if unknown else "model.strings-known"
    evidence: dict[str, Param] = {"unknown": len(unknown), "strings": len(content.strings | content.names)}
    return Finding("model.strings", 1, verdict, reason, {}, {"minimum_subjects": trained.minimum}, evidence)


def _is_inner(text: str) -> bool:
    """Whether it is one of the numbers the exporter gives nodes and inner values."""
    return text[:1] in {"/", "n"} and text[1:].isascii() and text[1:].isdecimal() and len(text) <= 6


def _check_rows(content: Content, trained: Trained) -> Finding:
    """Search for rows and for columns of the training data among all numbers (attack: the model that keeps its data)."""
    pairs = list(zip(_tables(trained.train), _tables(trained.holdout), strict=True))
    found = [(stored_rows(content, seen), stored_rows(content, unseen)) for seen, unseen in pairs]
    certain = any(seen.certain and not unseen.certain for seen, unseen in found)
    row_excess = max(_excess(trained, seen.found, unseen.found) for seen, unseen in found)
    column_excess = _column_excess(content, trained)
    stored = certain or row_excess > EXCESS_ROWS or column_excess > EXCESS_VALUES
    verdict = Verdict.BLOCK if stored else Verdict.NO_ATTACK_SUCCEEDED
    reason = "model.rows-stored" if stored else "model.rows-absent"
    evidence: dict[str, Param] = {
        "certain_rows": sum(seen.certain for seen, _ in found),
        "training_rows": f"{max(float(seen.found.mean()) for seen, _ in found):.4f}",
        "holdout_rows": f"{max(float(unseen.found.mean()) for _, unseen in found):.4f}",
        "row_excess": f"{row_excess:.4f}",
        "column_excess": f"{column_excess:.4f}",
    }
    settings: dict[str, Param] = {
        "excess_rows": str(EXCESS_ROWS),
        "excess_values": str(EXCESS_VALUES),
        "quantile": QUANTILE,
    }
    return Finding("model.stored-rows", 1, verdict, reason, {}, settings, evidence)


def _excess(trained: Trained, seen: NDArray[np.bool_], unseen: NDArray[np.bool_]) -> float:
    """Lower bound of how much oftener something was found for data subjects the model saw than for others."""
    inside, outside = by_subject(trained.train, seen.astype(float)), by_subject(trained.holdout, unseen.astype(float))
    return excess(inside[1], outside[1], QUANTILE)


def _tables(sample: Sample) -> tuple[NDArray[np.float32], ...]:
    """The forms a row may be kept in: as it was fed, and as the estimator saw it."""
    raw = [column for column in sample.rows.columns.values() if column.dtype.kind == "f"]
    if sample.target.dtype.kind != "U":
        raw.append(sample.target)
    raw_table = np.column_stack(raw).astype(np.float32) if raw else np.zeros((len(sample.target), 0), np.float32)
    return raw_table, sample.matrix


def stored_rows(content: Content, table: NDArray[np.float32]) -> FoundRows:
    """Find the rows (rows, width) that stand somewhere as ``width`` numbers one after the other.

    Rows with fewer than two distinct values are left out, and so are matches nobody could tell from chance: a row counts as certain
    only if two of its distinct values are no whole numbers below a thousand, and as a share otherwise.
    """
    width = table.shape[1]
    distinct, odd = _distinctness(table)
    recognisable = distinct >= 2
    everywhere = np.zeros(len(table), dtype=bool)
    if not recognisable.any():
        return FoundRows(everywhere, 0)
    wanted = _keys(table[recognisable])
    found = np.zeros(len(wanted), dtype=bool)
    for run in content.numbers:
        if len(run) < width:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(run.astype(np.float32), width)
        for start in range(0, len(windows), CHUNK):
            found |= np.isin(wanted, _keys(windows[start : start + CHUNK]))
    everywhere[recognisable] = found
    return FoundRows(everywhere, int((everywhere & (odd >= 2)).sum()))


def _distinctness(table: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row, how many distinct values it has, and how many of them are no whole number below a thousand."""
    ordered = np.sort(table, axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first &= ~np.isnan(ordered)
    odd = first & ((ordered != np.rint(ordered)) | (np.abs(ordered) >= 1000))
    return first.sum(axis=1), odd.sum(axis=1)


def _keys(rows: NDArray[np.float32]) -> NDArray[np.void]:
    """One comparable key a row, by its bytes; minus zero counts as zero."""
    plain = np.ascontiguousarray(rows + np.float32(0))
    return plain.view(np.dtype((np.void, plain.dtype.itemsize * plain.shape[1]))).ravel()


def _column_excess(content: Content, trained: Trained) -> float:
    """Lower bound of how much oftener a column's values are found among the model's numbers than those of people it never saw."""
    pool = np.unique(np.concatenate([run.astype(np.float32) for run in content.numbers]))
    worst = 0.0
    for seen, unseen in zip(_tables(trained.train), _tables(trained.holdout), strict=True):
        for column, other in zip(seen.T, unseen.T, strict=True):
            if np.unique(column).size >= DISTINCT:
                worst = max(worst, _excess(trained, np.isin(column, pool), np.isin(other, pool)))
    return worst
