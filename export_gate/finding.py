"""What a check says: a finding with one of four verdicts, and the evidence behind it (E3; SATRE 3.3.09)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from lineage.errors import Param


class Verdict(StrEnum):
    """The four verdicts, worst first; there is no verdict "safe"."""

    CANNOT_CHECK = "cannot check"
    BLOCK = "block"
    REVIEW = "review"
    NO_ATTACK_SUCCEEDED = "no attack succeeded"

    @property
    def lets_out(self) -> bool:
        """Whether people may still decide to release; what could not be checked counts as blocked (law 7)."""
        return self in {Verdict.REVIEW, Verdict.NO_ATTACK_SUCCEEDED}


SEVERITY: Mapping[Verdict, int] = {
    Verdict.NO_ATTACK_SUCCEEDED: 0,
    Verdict.REVIEW: 1,
    Verdict.BLOCK: 2,
    Verdict.CANNOT_CHECK: 3,
}


@dataclass(frozen=True)
class Finding:
    """One check's answer.

    Attributes:
        check: name of the check, such as ``cells.minimum-count``.
        version: version of the check's rule; raised when its meaning changes.
        verdict: what it says.
        reason: code of the message catalogue that explains the verdict.
        params: parameters of that message; shown to the tenant, so never row data and never a suppressed number.
        parameters: thresholds and settings the check ran with (measures as int or decimal string, never float).
        evidence: what the recovery found, for those who may see raw data only.
    """

    check: str
    version: int
    verdict: Verdict
    reason: str
    params: Mapping[str, Param] = field(default_factory=dict)
    parameters: Mapping[str, Param] = field(default_factory=dict)
    evidence: Mapping[str, Param] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unnamed check and a version below one."""
        if not self.check or not self.reason or self.version < 1:
            raise ValueError("a finding names its check, its reason and a version of at least 1")


def worst(findings: Iterable[Finding]) -> Verdict:
    """Give the worst verdict; nothing checked is ``cannot check`` (law 7)."""
    verdicts = [finding.verdict for finding in findings]
    return max(verdicts, key=SEVERITY.__getitem__) if verdicts else Verdict.CANNOT_CHECK
