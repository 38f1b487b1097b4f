"""Everything a model in ONNX holds, found by walking the message itself and not by asking for the fields one expects.

The walk visits every field of the protocol buffer, so that nothing can hide in a field nobody thought of; numbers come out as
arrays, text as strings, and raw tensor bytes as numbers by their declared type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


OPERATORS = frozenset(
    {
        ("", "Add"),
        ("", "Cast"),
        ("", "Concat"),
        ("", "Div"),
        ("", "Flatten"),
        ("", "Identity"),
        ("", "Mul"),
        ("", "ReduceSum"),
        ("", "Reshape"),
        ("", "Round"),
        ("", "Sub"),
        ("ai.onnx.ml", "Imputer"),
        ("ai.onnx.ml", "LinearClassifier"),
        ("ai.onnx.ml", "LinearRegressor"),
        ("ai.onnx.ml", "Normalizer"),
        ("ai.onnx.ml", "OneHotEncoder"),
        ("ai.onnx.ml", "TreeEnsembleClassifier"),
        ("ai.onnx.ml", "TreeEnsembleRegressor"),
    }
)
"""Operators a released model may use: none holds a graph, a file name or code of its own."""


@dataclass(frozen=True)
class Content:
    """What a model holds.

    Attributes:
        numbers: every run of numbers, flat.
        strings: every piece of text that is no name.
        names: every name of a node, an attribute or a value.
        operators: (domain, operator) of every node.
        surplus: names of fields that must be empty and are not.
    """

    numbers: tuple[NDArray[np.float64], ...]
    strings: frozenset[str]
    names: frozenset[str]
    operators: frozenset[tuple[str, str]]
    surplus: frozenset[str]


_MUST_BE_EMPTY = frozenset(
    {
        "doc_string",
        "metadata_props",
        "training_info",
        "functions",
        "external_data",
        "quantization_annotation",
        "sparse_initializer",
        "value_info",
        "denotation",
        "model_version",
        "producer_version",
        "configuration",
        "device_configurations",
    }
)


_NAMES = frozenset({"name", "input", "output"})


def read_content(onnx: bytes) -> Content:
    """Read a model's bytes.

    Raises:
        ValueError: they are not a model, or hold fields this reader does not know.
    """
    import onnx as library
    from google.protobuf.message import DecodeError

    try:
        model = library.load_model_from_string(onnx)
    except DecodeError as error:
        raise ValueError("not a model") from error
    # what the reader does not know is dropped here, so a difference shows that there was something it could not see
    model.DiscardUnknownFields()
    if model.SerializeToString(deterministic=True) != onnx:
        raise ValueError("not in canonical form")
    numbers: list[NDArray[np.float64]] = []
    strings: set[str] = set()
    names: set[str] = set()
    operators: set[tuple[str, str]] = set()
    surplus: set[str] = set()
    for name, owner, values in _fields(model):
        if name in _MUST_BE_EMPTY or name in {"g", "graphs"}:
            surplus.add(name)
        if name == "op_type":
            operators.add((owner.domain, owner.op_type))
        (names if name in _NAMES else strings).update(_texts(name, values))
        numbers += _numbers(name, owner, values)
    return Content(tuple(numbers), frozenset(strings), frozenset(names), frozenset(operators), frozenset(surplus))


def _fields(message: Any) -> Iterator[tuple[str, Any, list[Any]]]:
    """Go through every field that is set, however deep: its name, its message and its values, one or several."""
    from google.protobuf.message import Message

    for field, value in message.ListFields():
        values = list(value) if field.is_repeated else [value]
        yield field.name, message, values
        for inner in values:
            if isinstance(inner, Message):
                yield from _fields(inner)


def _texts(name: str, values: list[Any]) -> set[str]:
    """Give the text of a field; bytes that are not text are given with escapes, so that they match no allowed string."""
    if name == "raw_data":
        return set()
    return {
        value if isinstance(value, str) else value.decode("utf-8", errors="backslashreplace")
        for value in values
        if isinstance(value, str | bytes)
    }


def _numbers(name: str, owner: Any, values: list[Any]) -> list[NDArray[np.float64]]:
    """Give the numbers of a field as one flat array; raw bytes are read by the tensor they belong to."""
    if name == "raw_data":
        from onnx import numpy_helper

        return [np.asarray(numpy_helper.to_array(owner), dtype=np.float64).ravel()]
    plain = [value for value in values if isinstance(value, int | float)]
    return [np.array(plain, dtype=np.float64)] if plain else []
