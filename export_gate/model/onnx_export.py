"""Write a trained model as ONNX: named columns in, prediction out, nothing else inside (E2, E3, P5).

The graph holds the preprocessing too, so a recipient feeds the columns of the description, each as an array (rows, 1): numbers and truth
values as float32 with NaN for a missing value, text as strings with "" for a missing one. Estimators are converted by skl2onnx; all names
it invents are replaced, and every field that could carry a word (producer, documentation, metadata) is fixed or empty, so that the
same model gives the same bytes. See https://onnx.ai/onnx/repo-docs/IR.html and Operators-ml.html.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from export_gate.model.encoder import Encoder, TextColumn
from export_gate.model.estimators import Task
from export_gate.model.rows import Array, ColumnKind, Rows
from export_gate.model.train import Trained


OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
PRODUCER = "shuzha"
ROWS = "rows"
"""Name of the one free dimension."""
MATRIX = "matrix"
CLASS_OUTPUTS = {"label": "prediction", "probabilities": "probability"}
NUMBER_OUTPUTS = {"variable": "prediction"}
AGREEMENT = 0.999
"""Least share of hold-out rows on which ONNX and scikit-learn must agree."""
TOLERANCE = 1e-3
"""Two numeric predictions agree within this share of the target's spread, two probabilities within this difference."""
TIE = 1e-5


def export_onnx(trained: Trained) -> bytes:
    """Give the canonical bytes of the model."""
    from onnx import TensorProto, helper

    encoder = trained.encoder
    nodes, constants = _preprocessing(encoder)
    estimator_nodes, estimator_constants, outputs = _estimator(trained)
    inputs = [helper.make_tensor_value_info(column.name, TensorProto.FLOAT, [ROWS, 1]) for column in encoder.numbers]
    inputs += [helper.make_tensor_value_info(column.name, TensorProto.STRING, [ROWS, 1]) for column in encoder.texts]
    graph = helper.make_graph([*nodes, *estimator_nodes], "model", inputs, outputs, [*constants, *estimator_constants])
    _rename(graph)
    opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(OPSETS.items())]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
    return bytes(model.SerializeToString(deterministic=True))


def predict(onnx: bytes, encoder: Encoder, rows: Rows) -> tuple[Array, ...]:
    """Run a model the way a recipient does, on named columns; gives its outputs in order."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    feed = {column.name: rows.columns[column.name].astype(np.float32)[:, None] for column in encoder.numbers}
    feed |= {column.name: rows.columns[column.name].astype(object)[:, None] for column in encoder.texts}
    return tuple(np.asarray(output) for output in session.run(None, feed))


def agreement(onnx: bytes, trained: Trained) -> float:
    """Give the share of hold-out rows, 0 … 1, on which the exported model answers as the measured one did.

    Where two classes are equally likely, either answer is the same: float32 adds up in another order.
    """
    outputs = predict(onnx, trained.encoder, trained.holdout.rows)
    told, matrix = outputs[0].ravel(), trained.holdout.matrix
    if trained.description.kind.task is Task.NUMBER:
        spread = max(float(np.std(trained.train.target)), 1e-12)
        return float(np.mean(np.abs(told - trained.estimator.predict(matrix)) <= TOLERANCE * spread))
    shares = trained.estimator.predict_proba(matrix)
    place = np.searchsorted(trained.estimator.classes_, told.astype(trained.estimator.classes_.dtype))
    likeliest = shares[np.arange(len(told)), place] >= shares.max(axis=1) - TIE
    return float(np.mean(likeliest & (np.abs(outputs[1] - shares).max(axis=1) <= TOLERANCE)))


def describe_inputs(encoder: Encoder) -> list[dict[str, Any]]:
    """Describe for the model card what a recipient feeds, column by column in the graph's order."""
    numbers: list[dict[str, Any]] = [
        {
            "name": column.name,
            "type": "float32",
            "meaning": "0 or 1" if column.kind is ColumnKind.BOOLEAN else "number",
            "missing": "NaN",
        }
        for column in encoder.numbers
    ]
    texts: list[dict[str, Any]] = [
        {
            "name": column.name,
            "type": "string",
            "categories": list(column.categories),
            "others_together": column.has_other,
            "missing": "empty string",
        }
        for column in encoder.texts
    ]
    return [{**column, "shape": [ROWS, 1]} for column in (*numbers, *texts)]


def _preprocessing(encoder: Encoder) -> tuple[list[Any], list[Any]]:
    """Build the nodes from the named inputs to the matrix, and their constants."""
    from onnx import helper

    nodes: list[Any] = []
    constants: list[Any] = []
    parts: list[str] = []
    if encoder.numbers:
        number_nodes, constants = _number_nodes(encoder)
        nodes += number_nodes
        parts.append("numbers")
    for place, column in enumerate(encoder.texts):
        text_nodes, text_constants = _text_nodes(column, f"text{place}")
        nodes += text_nodes
        constants += text_constants
        parts.append(f"text{place}.indicators")
    nodes.append(helper.make_node("Concat", _inner(parts), _inner([MATRIX]), axis=1))
    return nodes, constants


def _number_nodes(encoder: Encoder) -> tuple[list[Any], list[Any]]:
    """Fill, round to steps, centre and scale all numbers at once."""
    from onnx import helper, numpy_helper

    columns = encoder.numbers
    constants = [
        numpy_helper.from_array(np.array([getattr(column, name) for column in columns], np.float32), f"/{name}")
        for name in ("step", "center", "scale")
    ]
    fill = [column.fill for column in columns]
    nodes = [
        helper.make_node("Concat", [column.name for column in columns], ["/raw"], axis=1),
        helper.make_node(
            "Imputer",
            ["/raw"],
            ["/filled"],
            domain="ai.onnx.ml",
            imputed_value_floats=fill,
            replaced_value_float=float("nan"),
        ),
        helper.make_node("Div", ["/filled", "/step"], ["/steps"]),
        helper.make_node("Round", ["/steps"], ["/whole"]),
        helper.make_node("Mul", ["/whole", "/step"], ["/rounded"]),
        helper.make_node("Sub", ["/rounded", "/center"], ["/centred"]),
        helper.make_node("Div", ["/centred", "/scale"], ["/numbers"]),
    ]
    return nodes, constants


def _text_nodes(column: TextColumn, name: str) -> tuple[list[Any], list[Any]]:
    """Make the indicators of one text column; a category the model does not know counts as "other"."""
    from onnx import helper, numpy_helper

    encode = helper.make_node(
        "OneHotEncoder",
        [column.name],
        [f"/{name}.hot"],
        domain="ai.onnx.ml",
        cats_strings=list(column.categories),
        zeros=1,
    )
    kept = f"/{name}.kept" if column.has_other else f"/{name}.indicators"
    nodes = [encode, helper.make_node("Flatten", [f"/{name}.hot"], [kept], axis=1)]
    if not column.has_other:
        return nodes, []
    nodes += [
        helper.make_node("ReduceSum", [kept, f"/{name}.axis"], [f"/{name}.sum"], keepdims=1),
        helper.make_node("Sub", [f"/{name}.one", f"/{name}.sum"], [f"/{name}.other"]),
        helper.make_node("Concat", [kept, f"/{name}.other"], [f"/{name}.indicators"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), f"/{name}.axis"),
        numpy_helper.from_array(np.array([1], np.float32), f"/{name}.one"),
    ]
    return nodes, constants


def _inner(names: list[str]) -> list[str]:
    """Mark names as inner ones by a sign no column may contain."""
    return [f"/{name}" for name in names]


def _estimator(trained: Trained) -> tuple[list[Any], list[Any], list[Any]]:
    """Convert the estimator; gives its nodes, its constants and the model's outputs."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    is_class = trained.description.kind.task is Task.CLASS
    width = trained.train.matrix.shape[1]
    converted = to_onnx(
        trained.estimator,
        initial_types=[(MATRIX, FloatTensorType([None, width]))],
        options={id(trained.estimator): {"zipmap": False}} if is_class else None,
        target_opset=OPSETS,
    )
    graph = converted.graph
    renamed = {MATRIX: f"/{MATRIX}", **(CLASS_OUTPUTS if is_class else NUMBER_OUTPUTS)}
    for node in graph.node:
        node.input[:] = [renamed.get(name, f"/inner.{name}") if name else "" for name in node.input]
        node.output[:] = [renamed.get(name, f"/inner.{name}") for name in node.output]
    for constant in graph.initializer:
        constant.name = f"/inner.{constant.name}"
    for output in graph.output:
        output.name = renamed[output.name]
        output.type.tensor_type.shape.dim[0].dim_param = ROWS
    return list(graph.node), list(graph.initializer), list(graph.output)


def _rename(graph: Any) -> None:
    """Number nodes and inner values in order; inputs and outputs keep their names, documentation goes."""
    names: dict[str, str] = {}
    for node in graph.node:
        for name in (*node.input, *node.output):
            if name.startswith("/"):
                names.setdefault(name, f"/{len(names)}")
    for place, node in enumerate(graph.node):
        node.name = f"n{place}"
        node.ClearField("doc_string")
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for constant in graph.initializer:
        constant.name = names[constant.name]
        constant.ClearField("doc_string")
