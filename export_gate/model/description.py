"""What a job may say about a model: which estimator, which parameters, which columns; never how to draw its randomness.

The gate trains the model from this description (law 2), so a description that cannot be carried out exactly, or that would
keep training rows inside the fitted model (E3), is refused when it is written down, long before any row is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from export_gate.model.estimators import ESTIMATORS, REFUSED, Estimator, ParamValue
from lineage.errors import DefinitionError


RESERVED = frozenset({"prediction", "probability"})
"""Names of the model's own outputs, which no column may take: ONNX names each value once."""
MAX_FEATURES = 200

_NAME = re.compile(r"[^\W\d]\w{0,63}")


@dataclass(frozen=True)
class ModelDescription:
    """A model as a job describes it.

    Attributes:
        estimator: full scikit-learn name, such as ``sklearn.linear_model.LogisticRegression``.
        params: parameters to set; all others keep scikit-learn's defaults.
        features: columns the model reads, in the order a recipient sees them.
        target: column the model predicts.
        subject: column that says which data subject a row is about; used for counting and the hold-out, never as a feature.

    Raises:
        DefinitionError: the estimator or a parameter is not on the list, or the columns do not fit together.
    """

    estimator: str
    params: Mapping[str, ParamValue]
    features: tuple[str, ...]
    target: str
    subject: str

    def __post_init__(self) -> None:
        """Refuse whatever is not on the list."""
        _check_estimator(self.estimator)
        _check_params(ESTIMATORS[self.estimator], self.params)
        _check_columns(self)
        object.__setattr__(self, "params", MappingProxyType(dict(sorted(self.params.items()))))

    @property
    def kind(self) -> Estimator:
        """The estimator's entry in the list."""
        return ESTIMATORS[self.estimator]


def description_to_json(description: ModelDescription) -> dict[str, Any]:
    """Write a description as plain values, to hand it to the child process that trains."""
    return {
        "estimator": description.estimator,
        "params": dict(description.params),
        "features": list(description.features),
        "target": description.target,
        "subject": description.subject,
    }


def description_from_json(plain: Mapping[str, Any]) -> ModelDescription:
    """Read what `description_to_json` wrote; validated again, as every description is.

    Raises:
        DefinitionError: as the constructor does.
        KeyError: a part is missing.
    """
    return ModelDescription(
        estimator=plain["estimator"],
        params=plain["params"],
        features=tuple(plain["features"]),
        target=plain["target"],
        subject=plain["subject"],
    )


def _check_estimator(path: str) -> None:
    """Refuse an estimator off the list, with the reason where one is known."""
    if path in ESTIMATORS:
        return
    code = REFUSED.get(path.rpartition(".")[2], "model.not-listed")
    raise DefinitionError(code, estimator=path, allowed=", ".join(ESTIMATORS))


def _check_params(kind: Estimator, params: Mapping[str, ParamValue]) -> None:
    """Refuse a parameter off the table and a value outside its range; callables and lists are never in one."""
    for name, value in params.items():
        if name == "random_state":
            # law 9: a tenant who chooses the seed chooses which persons are held out and how the noise of bagging falls.
            raise DefinitionError("model.seed-chosen", estimator=kind.path)
        if name not in kind.params:
            allowed = ", ".join(sorted(kind.params))
            raise DefinitionError("model.param-unknown", param=str(name), estimator=kind.path, allowed=allowed)
        if not kind.params[name].admits(value):
            raise DefinitionError("model.param-range", param=name, allowed=kind.params[name].describe())


def _check_columns(description: ModelDescription) -> None:
    """Refuse missing, repeated, ill-named and doubly used columns."""
    features = description.features
    if not 1 <= len(features) <= MAX_FEATURES:
        raise DefinitionError("model.features-count", count=len(features), most=MAX_FEATURES)
    for name in (*features, description.target, description.subject):
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise DefinitionError("model.column-name", column=name, reserved=", ".join(sorted(RESERVED)))
    columns = (*features, description.target, description.subject)
    for name in columns:
        if columns.count(name) > 1:
            raise DefinitionError("model.column-twice", column=name)
