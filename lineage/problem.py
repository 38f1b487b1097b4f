"""One thing that a verification found wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lineage.errors import Param


@dataclass(frozen=True)
class Problem:
    """One broken invariant: a code of the message catalogue and its parameters."""

    code: str
    params: Mapping[str, Param]
