"""The estimators the gate trains, each with the total table of parameters a description may set (E3, P5).

What is not listed is refused. The randomness (``random_state``), the number of threads and anything that keeps training rows
(``oob_score``, ``warm_start``) are missing from every table on purpose: the gate draws the seed itself (law 9).
Parameters and their ranges are those of scikit-learn 1.9 (https://scikit-learn.org/1.9/api/index.html).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


ParamValue = int | float | str | bool | None


class Task(StrEnum):
    """What the model predicts."""

    CLASS = "class"
    NUMBER = "number"


class Family(StrEnum):
    """The form of the fitted model, which decides the checks that apply."""

    LINEAR = "linear"
    TREE = "tree"
    FOREST = "forest"


@dataclass(frozen=True)
class Range:
    """The values one parameter may take: a closed interval of integers, of decimals, or both; truth values; words; none.

    Attributes:
        whole: closed interval of integers, or None when no integer is meant.
        decimal: closed interval of decimals, or None when no decimal is meant.
        words: allowed words.
        truth: whether true and false are allowed.
        none: whether "no value" is allowed.
    """

    whole: tuple[int, int] | None = None
    decimal: tuple[float, float] | None = None
    words: tuple[str, ...] = ()
    truth: bool = False
    none: bool = False

    def admits(self, value: object) -> bool:
        """Whether the value lies in the range; a truth value is never an integer, and an unknown type is never admitted."""
        if value is None:
            return self.none
        if isinstance(value, bool):
            return self.truth
        if isinstance(value, str):
            return value in self.words
        if isinstance(value, int):
            return self._admits_whole(value)
        return isinstance(value, float) and self.decimal is not None and self.decimal[0] <= value <= self.decimal[1]

    def _admits_whole(self, value: int) -> bool:
        """Take an integer also where a decimal is meant, as scikit-learn does (``C = 1``), if no integer has another meaning."""
        if self.whole is not None:
            return self.whole[0] <= value <= self.whole[1]
        return self.decimal is not None and self.decimal[0] <= value <= self.decimal[1]

    def describe(self) -> str:
        """Write the range for a message: ``1…500, 0.01…1.0, sqrt, none``."""
        parts = [f"{low}…{high}" for low, high in filter(None, (self.whole, self.decimal))]
        parts += self.words
        parts += ["true", "false"] if self.truth else []
        parts += ["none"] if self.none else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Estimator:
    """One estimator of the list.

    Attributes:
        path: its full name in scikit-learn.
        task: what it predicts.
        family: its fitted form.
        params: every parameter a description may set.
        takes_seed: whether the fit is random.
    """

    path: str
    task: Task
    family: Family
    params: Mapping[str, Range]
    takes_seed: bool = True


_TREE = {
    "max_depth": Range(whole=(1, 64), none=True),
    "max_features": Range(whole=(1, 10_000), decimal=(0.001, 1.0), words=("sqrt", "log2"), none=True),
    "max_leaf_nodes": Range(whole=(2, 1_000_000), none=True),
    "min_samples_leaf": Range(whole=(1, 1_000_000), decimal=(0.0001, 0.5)),
    "min_samples_split": Range(whole=(2, 1_000_000), decimal=(0.0001, 1.0)),
    "min_weight_fraction_leaf": Range(decimal=(0.0, 0.5)),
    "min_impurity_decrease": Range(decimal=(0.0, 1e9)),
    "ccp_alpha": Range(decimal=(0.0, 1e9)),
}
_SINGLE = {"splitter": Range(words=("best", "random"))}
_FOREST = {
    "n_estimators": Range(whole=(1, 500)),
    "bootstrap": Range(truth=True),
    "max_samples": Range(whole=(1, 100_000_000), decimal=(0.001, 1.0), none=True),
}
_CLASSES = {
    "criterion": Range(words=("gini", "entropy", "log_loss")),
    "class_weight": Range(words=("balanced",), none=True),
}
_NUMBERS = {"criterion": Range(words=("squared_error", "friedman_mse", "poisson"))}
_INTERCEPT = {"fit_intercept": Range(truth=True), "tol": Range(decimal=(1e-10, 0.1))}

_LISTED = (
    Estimator(
        "sklearn.linear_model.LogisticRegression",
        Task.CLASS,
        Family.LINEAR,
        {
            **_INTERCEPT,
            "C": Range(decimal=(1e-6, 1e6)),
            "max_iter": Range(whole=(1, 100_000)),
            "solver": Range(words=("lbfgs", "newton-cg", "newton-cholesky")),
            "class_weight": Range(words=("balanced",), none=True),
        },
    ),
    Estimator(
        "sklearn.linear_model.LinearRegression",
        Task.NUMBER,
        Family.LINEAR,
        {**_INTERCEPT, "positive": Range(truth=True)},
        takes_seed=False,
    ),
    Estimator(
        "sklearn.linear_model.Ridge",
        Task.NUMBER,
        Family.LINEAR,
        {**_INTERCEPT, "alpha": Range(decimal=(0.0, 1e9)), "positive": Range(truth=True)},
    ),
    Estimator("sklearn.tree.DecisionTreeClassifier", Task.CLASS, Family.TREE, {**_TREE, **_SINGLE, **_CLASSES}),
    Estimator("sklearn.tree.DecisionTreeRegressor", Task.NUMBER, Family.TREE, {**_TREE, **_SINGLE, **_NUMBERS}),
    Estimator("sklearn.ensemble.RandomForestClassifier", Task.CLASS, Family.FOREST, {**_TREE, **_FOREST, **_CLASSES}),
    Estimator("sklearn.ensemble.RandomForestRegressor", Task.NUMBER, Family.FOREST, {**_TREE, **_FOREST, **_NUMBERS}),
)
ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({entry.path: entry for entry in _LISTED})

_REASONS: Mapping[str, tuple[str, ...]] = {
    "model.stores-neighbours": (
        "KNeighborsClassifier",
        "KNeighborsRegressor",
        "KNeighborsTransformer",
        "RadiusNeighborsClassifier",
        "RadiusNeighborsRegressor",
        "RadiusNeighborsTransformer",
        "NearestNeighbors",
        "LocalOutlierFactor",
        "KNNImputer",
        "NeighborhoodComponentsAnalysis",
    ),
    "model.stores-support-vectors": ("SVC", "SVR", "NuSVC", "NuSVR", "OneClassSVM"),
    "model.stores-kernel-rows": (
        "GaussianProcessClassifier",
        "GaussianProcessRegressor",
        "KernelRidge",
        "KernelDensity",
        "KernelPCA",
        "Nystroem",
        "LabelPropagation",
        "LabelSpreading",
        "Isomap",
        "DBSCAN",
        "HDBSCAN",
        "OPTICS",
    ),
    "model.stores-quantiles": ("QuantileTransformer", "IsotonicRegression", "KBinsDiscretizer", "SplineTransformer"),
    "model.stores-vocabulary": (
        "CountVectorizer",
        "TfidfVectorizer",
        "DictVectorizer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "LabelEncoder",
        "TargetEncoder",
    ),
    "model.stores-unseen-parts": (
        "Pipeline",
        "FeatureUnion",
        "ColumnTransformer",
        "BaggingClassifier",
        "BaggingRegressor",
        "CalibratedClassifierCV",
        "StackingClassifier",
        "StackingRegressor",
        "VotingClassifier",
        "VotingRegressor",
        "AdaBoostClassifier",
        "AdaBoostRegressor",
        "GridSearchCV",
        "RandomizedSearchCV",
        "SelfTrainingClassifier",
    ),
    "model.cannot-export": ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
}
REFUSED: Mapping[str, str] = MappingProxyType({name: code for code, names in _REASONS.items() for name in names})
"""Why a known estimator is not on the list: class name to message code. Anything else is ``model.not-listed``."""
