"""A job folder is read whole, and everything wrong with it is reported at once, with file and line."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from jobs.spec import (
    ChartProduct,
    InvalidJobError,
    Job,
    ModelProduct,
    OpaqueProduct,
    ReportProduct,
    Run,
    StatisticProduct,
    TableProduct,
    load_job,
)
from sandbox.messages import Language, explain


TOML = '''[job]
name = "clinic-visits"
scenario = "S-0001"

[inputs]
visits = "health.visits"              # by name only
residents = "police.residents"

[[step]]
name = "adult_visits"
sql = "steps/adult_visits.sql"

[[run]]
runtime = "spark"
entry = "main.py"
cores = 2
memory = "4g"
minutes = 20

[[product]]
name = "visits_by_district"
kind = "statistic"
sql = """
SELECT district, COUNT(*) AS visits FROM adult_visits
GROUP BY district
"""
subject = "resident_id"
bounds = { cost = [0, 0.1] }
keys = { district = ["A", "B"] }
groups_per_subject = 3
rows_per_group = 20
epsilon = 0.1

[[product]]
name = "beds"
kind = "table"
sql = "SELECT COUNT(*) AS n FROM visits"

[[product]]
name = "risk"
kind = "model"
estimator = "sklearn.ensemble.RandomForestClassifier"
params = { n_estimators = 50, max_features = 0.5, layers = [8, 8] }
features = "SELECT cost FROM visits"
target = "cost"

[[product]]
name = "own_model"
kind = "opaque"

[[product]]
name = "map"
kind = "chart"
of = "visits_by_district"
spec = "charts/visits.vl.json"

[[product]]
name = "summary"
kind = "report"
text = "summary.md"
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "job.toml": TOML,
        "steps/adult_visits.sql": "SELECT resident_id, district FROM visits",
        "main.py": "def main(job): ...",
        "charts/visits.vl.json": "{}",
        "summary.md": "# Visits",
    }
    for name, text in files.items():
        path = tmp_path / "job" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "job"


def test_everything(folder: Path) -> None:
    statistic = "\nSELECT district".removeprefix("\n") + ", COUNT(*) AS visits FROM adult_visits\nGROUP BY district\n"
    assert load_job(folder) == Job(
        name="clinic-visits",
        scenario="S-0001",
        inputs={"visits": "health.visits", "residents": "police.residents"},
        steps={"adult_visits": "SELECT resident_id, district FROM visits"},
        runs=(Run("main", "spark", "main.py", 2, 4 * 1024**3, 20),),
        products=(
            StatisticProduct(
                name="visits_by_district",
                sql=statistic,
                subject="resident_id",
                bounds={"cost": (Fraction(0), Fraction(1, 10))},
                groups_per_subject=3,
                rows_per_group=20,
                epsilon=Fraction(1, 10),
                keys={"district": ("A", "B")},
            ),
            TableProduct("beds", "SELECT COUNT(*) AS n FROM visits"),
            ModelProduct(
                name="risk",
                estimator="sklearn.ensemble.RandomForestClassifier",
                params={"n_estimators": 50, "max_features": 0.5, "layers": (8, 8)},
                features="SELECT cost FROM visits",
                target="cost",
                train_on="view",
            ),
            OpaqueProduct("own_model", "main"),
            ChartProduct("map", "visits_by_district", "{}"),
            ReportProduct("summary", "# Visits"),
        ),
    )


# What is changed in job.toml, the code of the problem, and its line.
WRONG = {
    "unknown key": ("cores = 2", "coers = 2", "job.unknown-key", 16),
    "unknown table": ("[inputs]", "[input]\nx = 1\n[inputs]", "job.unknown-key", 5),
    "misspelt limit": ("rows_per_group = 20", "row_per_group = 20", "job.missing-key", 20),
    "name": ('name = "clinic-visits"', 'name = "../x"', "job.wrong-value", 2),
    "no scenario": ('scenario = "S-0001"', "", "job.missing-key", 1),
    "input is a path": ('"health.visits"', '"/etc/passwd"', "job.wrong-value", 6),
    "input is a list": ('"health.visits"', '["health.visits"]', "job.wrong-value", 6),
    "input name is a path": ('visits = "health', '"a.csv" = "health', "job.wrong-value", 5),
    "input twice in other case": ("residents =", "Visits =", "job.name-twice", 7),
    "step called like an input": ('name = "adult_visits"', 'name = "Residents"', "job.name-twice", 10),
    "step file missing": ("steps/adult_visits.sql", "steps/none.sql", "job.file-missing", 11),
    "step leaves the folder": ("steps/adult_visits.sql", "../other/x.sql", "job.path-escapes", 11),
    "step is absolute": ("steps/adult_visits.sql", "/etc/x.sql", "job.path-escapes", 11),
    "step with backslash": ('"steps/adult_visits.sql"', "'steps\\adult_visits.sql'", "job.path-escapes", 11),
    "runtime": ('"spark"', '"bash"', "job.wrong-value", 14),
    "entry missing": ('"main.py"', '"other.py"', "job.file-missing", 15),
    "cores as text": ("cores = 2", 'cores = "2"', "job.wrong-value", 16),
    "cores as truth": ("cores = 2", "cores = true", "job.wrong-value", 16),
    "no cores": ("cores = 2", "cores = 0", "job.wrong-value", 16),
    "memory": ('"4g"', '"4 GB"', "job.wrong-value", 17),
    "too little memory": ('"4g"', '"1m"', "job.wrong-value", 17),
    "kind": ('kind = "statistic"', 'kind = "stats"', "job.wrong-value", 22),
    "product name": ('name = "beds"', 'name = "Beds/.."', "job.wrong-value", 35),
    "product name twice": ('name = "beds"', 'name = "visits_by_district"', "job.name-twice", 35),
    "bounds upside down": ("[0, 0.1]", "[1, 0]", "job.wrong-value", 28),
    "bounds of three": ("[0, 0.1]", "[0, 1, 2]", "job.wrong-value", 28),
    "endless bounds": ("[0, 0.1]", "[0, inf]", "job.wrong-value", 28),
    "huge exponent": ("[0, 0.1]", "[0, 1e999999]", "job.wrong-value", 28),
    "keys twice": ('["A", "B"]', '["A", "A"]', "job.wrong-value", 29),
    "no budget": ("epsilon = 0.1", "epsilon = 0", "job.wrong-value", 32),
    "endless budget": ("epsilon = 0.1", "epsilon = inf", "job.wrong-value", 32),
    "budget as text": ("epsilon = 0.1", 'epsilon = "0.1"', "job.wrong-value", 32),
    "estimator with a call": ("RandomForestClassifier", "RandomForestClassifier()", "job.wrong-value", 42),
    "param is a table": ("n_estimators = 50", "n_estimators = { a = 1 }", "job.wrong-value", 43),
    "train on raw": ('target = "cost"', 'target = "cost"\ntrain_on = "raw"', "job.wrong-value", 46),
    "run unknown": ('kind = "opaque"', 'kind = "opaque"\nrun = "other"', "job.wrong-value", 50),
    "chart of a model": ('of = "visits_by_district"', 'of = "risk"', "job.wrong-value", 54),
    "chart missing": ("charts/visits.vl.json", "charts/none.vl.json", "job.file-missing", 55),
    "report leaves": ('"summary.md"', '"../summary.md"', "job.path-escapes", 60),
    "syntax": ('kind = "table"', "kind = table", "job.toml-syntax", 36),
}


@pytest.mark.parametrize(("old", "new", "code", "line"), WRONG.values(), ids=WRONG.keys())
def test_one_problem(folder: Path, old: str, new: str, code: str, line: int) -> None:
    (folder / "job.toml").write_text(TOML.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidJobError) as refusal:
        load_job(folder)
    problems = {(problem.code, problem.params["file"], problem.params["line"]) for problem in refusal.value.problems}
    assert (code, "job.toml", line) in problems
    for error in (refusal.value, *refusal.value.problems):
        assert all("{" not in explain(error, language).what for language in Language)


def test_all_problems_at_once(folder: Path) -> None:
    changed = (
        TOML.replace("cores = 2", "cores = 0").replace("epsilon = 0.1", "epsilon = 0").replace('"summary.md"', '"x.md"')
    )
    (folder / "job.toml").write_text(changed, encoding="utf-8")
    with pytest.raises(InvalidJobError) as refusal:
        load_job(folder)
    assert [problem.params["line"] for problem in refusal.value.problems] == [16, 32, 60]
    assert refusal.value.params == {"count": 3, "file": "job.toml", "line": 16, "first": "job.wrong-value"}


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _link_inside(path: Path) -> None:
    path.rename(path.with_name("real.sql"))
    path.symlink_to("real.sql")


def _linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("real"))
    path.parent.symlink_to("real")


def _hard_link(path: Path) -> None:
    os.link(path, path.with_name("second.sql"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_link, _link_inside, _linked_folder, _hard_link, _pipe, _folder])
def test_only_plain_files(folder: Path, spoil: Callable[[Path], None]) -> None:
    spoil(folder / "steps" / "adult_visits.sql")
    with pytest.raises(InvalidJobError) as refusal:
        load_job(folder)
    assert [problem.code for problem in refusal.value.problems] == ["job.not-plain"]


@pytest.mark.parametrize(
    ("content", "code", "file", "line"),
    [
        (b"\xff\xfe", "job.not-text", "job.toml", 11),
        (b"x" * 70000, "job.file-large", "job.toml", 11),
        ("SELECT a\n-- \u202e hidden".encode(), "job.hidden-characters", "steps/adult_visits.sql", 2),
        ("SELECT a\u200b".encode(), "job.hidden-characters", "steps/adult_visits.sql", 1),
        ("SELECT a\u2028 -- x".encode(), "job.hidden-characters", "steps/adult_visits.sql", 1),
        (b"SELECT a\r FROM b", "job.hidden-characters", "steps/adult_visits.sql", 1),
    ],
    ids=["encoding", "size", "direction", "zero width", "line separator", "carriage return"],
)
def test_files_that_do_not_read_as_they_run(folder: Path, content: bytes, code: str, file: str, line: int) -> None:
    (folder / "steps" / "adult_visits.sql").write_bytes(content)
    with pytest.raises(InvalidJobError) as refusal:
        load_job(folder)
    found = refusal.value.problems[0]
    assert (found.code, found.params["file"], found.params["line"]) == (code, file, line)


def test_windows_line_ends_are_text(folder: Path) -> None:
    (folder / "steps" / "adult_visits.sql").write_bytes(b"SELECT a\r\nFROM visits\r\n")
    assert load_job(folder).steps["adult_visits"] == "SELECT a\r\nFROM visits\r\n"


@pytest.mark.parametrize("name", ["none", "file"])
def test_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidJobError) as refusal:
        load_job(tmp_path / name)
    assert refusal.value.problems[0].code == "job.file-missing"


def test_no_product(folder: Path) -> None:
    (folder / "job.toml").write_text(TOML.split("[[product]]", maxsplit=1)[0], encoding="utf-8")
    with pytest.raises(InvalidJobError) as refusal:
        load_job(folder)
    assert refusal.value.problems[0].params["key"] == "[[product]]"


@pytest.mark.parametrize(
    "build",
    [
        lambda: Run("a", "bash", "x.py", 1, 1024**3, 1),
        lambda: Run("a", "spark", "x.py", 0, 1024**3, 1),
        lambda: StatisticProduct("a", "", "s", {}, 1, 1, Fraction(0)),
        lambda: StatisticProduct("a", "", "s", {"x": (Fraction(1), Fraction(1))}, 1, 1, Fraction(1)),
        lambda: ModelProduct("a", "", {}, "", "", "raw"),
        lambda: Job("a", "s", {}, {}, (), (TableProduct("t", ""), TableProduct("t", ""))),
    ],
)
def test_impossible_values(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()
