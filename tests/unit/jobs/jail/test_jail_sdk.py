"""What a tenant's code sees: the job object and the runner, with real Delta tables and DuckDB."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.sdk import runner
from jobs.sdk.errors import JobError
from jobs.sdk.job import Job
from jobs.sdk.tables import LocalTables


SDK = Path(runner.__file__).parent


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    monkeypatch.setenv("SHUZHA_CORES", "1")
    monkeypatch.setenv("SHUZHA_MEMORY", str(1 << 29))
    write_deltalake(tmp_path / "visits", pa.table({"district": ["a", "b", "a"], "cost": [1, 2, 3]}))
    (tmp_path / "out").mkdir()
    tables = LocalTables({"visits": str(tmp_path / "visits")}, [("dear", "SELECT * FROM visits WHERE cost > 1")])
    yield Job(tables, "development", tmp_path / "out")
    tables.close()


def test_tables_steps_and_sql(job: Job) -> None:
    assert sorted(job.table("visits")["cost"]) == [1, 2, 3]
    assert sorted(job.table("dear")["cost"]) == [2, 3]
    assert job.sql("SELECT SUM(cost) AS total FROM dear")["total"].tolist() == [5]


def test_a_table_that_is_not_granted_is_told_with_those_that_are(job: Job) -> None:
    asks: list[Callable[[], object]] = [lambda: job.table("residents"), lambda: job.sql("SELECT * FROM residents")]
    for ask in asks:
        with pytest.raises(JobError) as caught:
            ask()
        assert "'residents'" in str(caught.value)
        assert "Granted: dear, visits" in str(caught.value)
        assert "可用的数据表" in str(caught.value)


def test_a_python_job_has_no_spark(job: Job) -> None:
    with pytest.raises(JobError, match="runtime"):
        _ = job.spark


@pytest.mark.parametrize(
    "name", ["../x.csv", "/etc/x", ".hidden", "-rf", "a/b/c.csv", "a b.csv", "", "表.csv", "a\n.csv", "a" * 200]
)
def test_names_that_the_gate_would_refuse_are_refused_at_once(job: Job, name: str) -> None:
    with pytest.raises(JobError):
        job.save(name, "x")


def test_frames_text_and_bytes_are_saved(job: Job, tmp_path: Path) -> None:
    frame = job.sql("SELECT district, SUM(cost) AS cost FROM visits GROUP BY district ORDER BY district")
    assert job.save("by_district.csv", frame).read_text() == "district,cost\na,4.0\nb,2.0\n"
    assert job.save("folder/by_district.parquet", frame).read_bytes().startswith(b"PAR1")
    assert json.loads(job.save("rows.json", frame).read_text().splitlines()[0]) == {"district": "a", "cost": 4.0}
    assert job.save("note.md", "文字").read_text(encoding="utf-8") == "文字"
    assert job.save("raw", b"\x00\x01").read_bytes() == b"\x00\x01"
    with pytest.raises(JobError):
        job.save("frame.xlsx", frame)
    with pytest.raises(JobError):
        job.save("object.csv", object())


def test_a_model_becomes_a_description_and_never_its_fitted_state(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(n_estimators=5, min_samples_leaf=20, max_features=None).fit(
        [[0], [1]] * 50, [0, 1] * 50
    )
    path = job.model("risk", forest, features="SELECT cost FROM visits", target="dear")
    expected = {"estimator": "sklearn.ensemble.RandomForestClassifier"}
    params = {"max_features": None, "min_samples_leaf": 20, "n_estimators": 5}
    assert json.loads(path.read_text()) == expected | {"params": params}
    (product,) = tomllib.loads(capsys.readouterr().out)["product"]
    assert product["params"] == {"min_samples_leaf": 20, "n_estimators": 5}
    assert (product["kind"], product["target"]) == ("model", "dear")


def test_what_is_no_estimator_is_refused(job: Job) -> None:
    with pytest.raises(JobError):
        job.model("risk", {"weights": [1, 2]})


def write_job(folder: Path, code: str, **changes: object) -> Path:
    plan = {"runtime": "python", "entry": "main.py", "stage": "development", "tables": {}} | changes
    (folder / "run.json").write_text(json.dumps(plan))
    (folder / "main.py").write_text(code)
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHUZHA_CORES", "1")
    monkeypatch.setenv("SHUZHA_MEMORY", str(1 << 29))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "main", raising=False)
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param("def main(job):\n    job.save('a.txt', job.stage)\n", 0, id="done"),
        pytest.param("def main(job):\n    job.table('x')\n", runner.WRONG, id="asks for what is not granted"),
        pytest.param("def main(job):\n    1 / 0\n", runner.FAILED, id="fails"),
        pytest.param("x = 1\n", runner.WRONG, id="has no main"),
    ],
)
def test_exit_codes(place: Path, code: str, expected: int) -> None:
    assert runner.run(write_job(place, code), place / "out") == expected
    sys.modules.pop("main")


def test_the_jobs_own_modules_are_found(place: Path) -> None:
    (place / "helper_of_this_job.py").write_text("VALUE = '7'\n")
    code = "import helper_of_this_job\ndef main(job):\n    job.save('a.txt', helper_of_this_job.VALUE)\n"
    assert runner.run(write_job(place, code), place / "out") == 0
    assert (place / "out" / "a.txt").read_text() == "7"
    for name in ("main", "helper_of_this_job"):
        sys.modules.pop(name)


def test_the_sdk_imports_nothing_else_of_ours() -> None:
    allowed = {*sys.stdlib_module_names, "pyspark", "duckdb", "deltalake", "pandas", "sklearn"}
    for path in SDK.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] in allowed, path
