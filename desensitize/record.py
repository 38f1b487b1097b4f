"""What was done to make a view or an input, kept for good: by which rule, on which column, in which run (P4, X68)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lineage.canonical import Json
from sandbox.grants import Zone


@dataclass(frozen=True)
class ColumnRecord:
    """What was done to one column; grades are those before and after, the version names the key and never is it."""

    name: str
    role: str
    grade_before: int
    grade_after: int
    treatment: str
    parameters: tuple[tuple[str, int | str], ...]
    reversible: bool
    key_version: int | None

    def to_json(self) -> dict[str, Json]:
        """Plain values for the log."""
        keyed: dict[str, Json] = {} if self.key_version is None else {"key_version": self.key_version}
        return {
            "name": self.name,
            "role": self.role,
            "grade_before": self.grade_before,
            "grade_after": self.grade_after,
            "treatment": self.treatment,
            "parameters": dict(self.parameters),
            "reversible": int(self.reversible),
            **keyed,
        }


@dataclass(frozen=True)
class RiskRecord:
    """How well the subjects of a view are hidden, counted on the population (GB/T 42460-2023, level 3).

    ``largest`` is the largest risk 1/F over the classes shown, ``mean`` the mean over their subjects.
    """

    k: int
    classes: int
    smallest_class: int
    subjects: int
    suppressed_subjects: int
    suppressed_rows: int
    largest: Fraction
    mean: Fraction

    def to_json(self) -> dict[str, Json]:
        """Plain values for the log."""
        return {
            "k": self.k,
            "classes": self.classes,
            "smallest_class": self.smallest_class,
            "subjects": self.subjects,
            "suppressed_subjects": self.suppressed_subjects,
            "suppressed_rows": self.suppressed_rows,
            "risk_largest": str(self.largest),
            "risk_mean": str(self.mean),
        }


@dataclass(frozen=True)
class ProvisionRecord:
    """One provisioning: rules, input, output. ``risk`` is there for views about somebody, ``sample_rate`` where subjects were sampled.

    ``rows_in`` counts the granted rows after the row filter, ``rows_without_subject`` those of them that name nobody and were left out.
    ``output_digest`` is SM3 over names and SM3 digests of the output's files.
    """

    zone: Zone
    rules_version: int
    plan_digest: str
    input_version: int
    row_filter: str
    columns: tuple[ColumnRecord, ...]
    rows_in: int
    rows_out: int
    rows_without_subject: int
    risk: RiskRecord | None
    sample_rate: Fraction | None
    output_digest: str

    @property
    def grade(self) -> int:
        """The grade of the whole table: the highest of its columns after treatment."""
        return max(column.grade_after for column in self.columns)

    def to_json(self) -> dict[str, Json]:
        """Plain values for the log: whole numbers and text only; a risk or rate is a fraction in text."""
        optional: dict[str, Json] = {}
        if self.risk is not None:
            optional["risk"] = self.risk.to_json()
        if self.sample_rate is not None:
            optional["sample_rate"] = str(self.sample_rate)
        return {
            "zone": self.zone.value,
            "rules_version": self.rules_version,
            "plan_digest": self.plan_digest,
            "input_version": self.input_version,
            "row_filter": self.row_filter,
            "columns": [column.to_json() for column in self.columns],
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "rows_without_subject": self.rows_without_subject,
            "output_digest": self.output_digest,
            "grade": self.grade,
            **optional,
        }
