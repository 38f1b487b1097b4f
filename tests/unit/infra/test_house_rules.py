"""Each house rule finds its breach, in disguises too, and leaves the innocent twin alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from infra.checks import house
from infra.checks.finding import read_allowed


def found(source: str, path: str = "jobs/thing.py", allowed: dict[str, dict[str, str]] | None = None) -> set[str]:
    findings = house.check_use([(path, ast.parse(source))], allowed or {})
    return {finding.rule for finding in findings}


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("clock", "import time\nx = time.time()"),
        ("clock", "from time import time_ns as t\nx = t()"),
        ("clock", "import datetime as d\nx = d.datetime.now(d.UTC)"),
        ("clock", "from datetime import datetime\nf = datetime.utcnow"),
        ("clock", "def f():\n    from datetime import date\n    return date.today()"),
        ("randomness", "import random"),
        ("randomness", "from random import choice"),
        ("randomness", "import numpy as np\nx = np.random.default_rng(1)"),
        ("randomness", "from numpy import random as r\nr.normal()"),
        ("randomness", "from uuid import uuid4"),
        ("output", "print('x')"),
        ("output", "import sys\nsys.stdout.write('x')"),
        ("broad-except", "try:\n    f()\nexcept Exception:\n    pass"),
        ("broad-except", "try:\n    f()\nexcept:\n    pass"),
        ("broad-except", "try:\n    f()\nexcept (ValueError, BaseException):\n    pass"),
        ("broad-except", "try:\n    f()\nexcept Exception as error:\n    if error.args:\n        raise"),
        ("broad-except", "import contextlib\nwith contextlib.suppress(Exception):\n    f()"),
        ("spark-read", "spark.read.parquet('x')"),
        ("spark-read", "self.session.readStream.format('delta')"),
        ("spark-read", "df = getattr(a, 'b').read.table('t')"),
        ("spark-read", "spark.sql('SELECT 1')"),
        ("spark-read", "reader = self._spark.read"),
    ],
)
def test_breach_is_found(rule: str, source: str) -> None:
    assert rule in found(source)


@pytest.mark.parametrize(
    "source",
    [
        "import time\nx = time.monotonic()",
        "from datetime import datetime\nx = datetime.fromisoformat('2026-01-01')",
        "def f(now):\n    return now()",
        "import secrets\nx = secrets.token_bytes(16)",
        "randomness = random_forest = 1",
        "self.print('x')",
        "try:\n    f()\nexcept (ValueError, OSError):\n    pass",
        "try:\n    f()\nexcept BaseException:\n    tidy()\n    raise",
        "with open('x') as file:\n    file.read()",
        "pattern.format(1)",
        "table.text('x')",
    ],
)
def test_innocent_twin_is_left_alone(source: str) -> None:
    assert found(source) == set()


def test_listed_place_may_and_others_may_not() -> None:
    allowed = {"clock": {"lineage/clock.py": "owns it"}, "spark-read": {"sandbox/ingest/": "reads"}}
    clock, read = "import time\nx = time.time()", "spark.read.csv('x')"
    pairs = [("lineage/clock.py", ast.parse(clock)), ("sandbox/ingest/files.py", ast.parse(read))]
    assert list(house.check_use(pairs, allowed)) == []
    findings = list(house.check_use([*pairs, ("lineage/clock2.py", ast.parse(clock))], allowed))
    assert [(finding.path, finding.line, finding.rule) for finding in findings] == [("lineage/clock2.py", 2, "clock")]


def test_exception_nobody_needs_is_found() -> None:
    findings = list(
        house.check_use([("a.py", ast.parse("x = 1"))], {"clock": {"a.py": "once"}, "clok": {"b.py": "typo"}})
    )
    assert [finding.rule for finding in findings] == ["clok", "clock"]


def test_folder_may_wait_for_its_first_use() -> None:
    assert found("x = 1", allowed={"clock": {"lineage/": "policy"}}) == set()


def _function(lines: int) -> str:
    return "def f():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(("lines", "breaches"), [(60, 0), (61, 1)])
def test_function_size(lines: int, breaches: int) -> None:
    source = _function(lines)
    assert len(list(house.check_sizes("a.py", source, ast.parse(source)))) == breaches


@pytest.mark.parametrize(("lines", "breaches"), [(400, 0), (401, 1)])
def test_module_size(lines: int, breaches: int) -> None:
    source = "x = 1\n" * lines
    assert len(list(house.check_sizes("a.py", source, ast.parse(source)))) == breaches


def test_usual_size() -> None:
    assert list(house.check_usual_size("jobs", [5] * 18 + [60, 60])) == []
    assert len(list(house.check_usual_size("jobs", [5] * 16 + [60] * 4))) == 1


def test_exception_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "allowed.toml"
    path.write_text('[clock]\n"a.py" = ""\n', encoding="utf-8")
    with pytest.raises(ValueError, match="without a reason"):
        read_allowed(path)
