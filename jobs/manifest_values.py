"""The values a job folder is made of. Each refuses to exist with contents that make no sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction


ParameterValue = str | int | float | bool | tuple[str | int | float | bool, ...]
KeyValue = str | int
MIB = 1024 * 1024


@dataclass(frozen=True)
class Run:
    """The tenant's own code, to be run in a jail.

    Attributes:
        name: how a product refers to it.
        runtime: ``spark`` or ``python``.
        entry: path of the file with ``main(job)``, relative to the job's folder.
        cores: processor cores.
        memory_bytes: memory in bytes.
        minutes: time limit in minutes.
    """

    name: str
    runtime: str
    entry: str
    cores: int
    memory_bytes: int
    minutes: int

    def __post_init__(self) -> None:
        """Refuse a run without resources."""
        if self.runtime not in {"spark", "python"} or min(self.cores, self.minutes) < 1 or self.memory_bytes < MIB:
            raise ValueError("a run names a runtime and has cores, minutes and at least 1 MiB of memory")


@dataclass(frozen=True)
class StatisticProduct:
    """A table measured with noise by the gate.

    Attributes:
        name: its name.
        sql: an aggregate query.
        subject: column of the query's source that names the subject.
        bounds: for each summed column, the lowest and highest value one row may contribute.
        groups_per_subject: most cells one subject may count in.
        rows_per_group: most rows of one subject that may count in one cell.
        epsilon: what it spends of the privacy budget.
        keys: for each key, the values that are public and always shown; empty when the gate must choose them privately.
    """

    name: str
    sql: str
    subject: str
    bounds: Mapping[str, tuple[Fraction, Fraction]]
    groups_per_subject: int
    rows_per_group: int
    epsilon: Fraction
    keys: Mapping[str, tuple[KeyValue, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse bounds that are none and a budget that is none."""
        if self.epsilon <= 0 or min(self.groups_per_subject, self.rows_per_group) < 1:
            raise ValueError("a statistic has a positive epsilon and positive contribution limits")
        if any(low >= high for low, high in self.bounds.values()):
            raise ValueError("a lower bound must be below its upper bound")


@dataclass(frozen=True)
class TableProduct:
    """An exact table, recomputed and checked by the gate."""

    name: str
    sql: str


@dataclass(frozen=True)
class ModelProduct:
    """A model that the gate trains.

    Attributes:
        name: its name.
        estimator: dotted name of the estimator class.
        params: its parameters.
        features: a row-level SELECT; one of its columns is the target.
        target: name of the column to predict.
        train_on: ``view`` (the scenario's sampled and desensitized view, P2) or ``input``.
    """

    name: str
    estimator: str
    params: Mapping[str, ParameterValue]
    features: str
    target: str
    train_on: str = "view"

    def __post_init__(self) -> None:
        """Refuse any other training data."""
        if self.train_on not in {"view", "input"}:
            raise ValueError("a model is trained on a view or an input")


@dataclass(frozen=True)
class OpaqueProduct:
    """What a run hands over and the gate can only attack: ``form`` is ``opaque`` (a model) or ``file``."""

    name: str
    run: str
    form: str = "opaque"


@dataclass(frozen=True)
class FileProduct(OpaqueProduct):
    """A table, picture or text that a run hands over and the gate reads strictly and writes anew.

    Attributes:
        path: where the run leaves it in its outbox; empty when the file is not described, and then it stays in.
        format: one of ``FILE_FORMATS``; what the content must turn out to be.
        size: the most bytes that its canonical form may have; what is charged to the ledger of bits.
        columns: for a table, its columns in order with their types: ``text``, ``integer``, ``decimal(n)``, ``date``, ``boolean``.
    """

    form: str = "file"
    path: str = ""
    format: str = ""
    size: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse half a description."""
        if self.path and (self.format not in FILE_FORMATS or self.size < 1):
            raise ValueError("a described file names its format and its most bytes")
        if self.path and bool(self.columns) is not (self.format in TABLE_FORMATS):
            raise ValueError("a table has columns, and nothing else has")


TABLE_FORMATS = ("csv", "json-lines", "parquet", "arrow")
FILE_FORMATS = (*TABLE_FORMATS, "png", "jpeg", "text")


@dataclass(frozen=True)
class ChartProduct:
    """A Vega-Lite chart (``spec``, JSON text) over another product."""

    name: str
    of: str
    spec: str


@dataclass(frozen=True)
class ReportProduct:
    """A Markdown text whose numbers are placeholders for values of other products."""

    name: str
    text: str


Product = StatisticProduct | TableProduct | ModelProduct | OpaqueProduct | ChartProduct | ReportProduct


@dataclass(frozen=True)
class Job:
    """Everything a job folder describes.

    Attributes:
        name: its name.
        scenario: the scenario it belongs to.
        inputs: name in SQL and code to ``provider.table``.
        steps: name to SQL, in order.
        runs: the tenant's own code.
        products: what should leave.
    """

    name: str
    scenario: str
    inputs: Mapping[str, str]
    steps: Mapping[str, str]
    runs: tuple[Run, ...]
    products: tuple[Product, ...]

    def __post_init__(self) -> None:
        """Names of products and of runs are unique."""
        for names in ([product.name for product in self.products], [run.name for run in self.runs]):
            if len(set(names)) != len(names):
                raise ValueError("names must differ")
