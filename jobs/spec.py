"""A job folder: read whole, every problem reported at once with its file and line (D3).

``load_job`` gives the frozen values, ``freeze`` fixes the folder by digest for promotion, ``diff`` shows a reviewer what changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jobs.manifest_files import read_plain, read_text
from jobs.manifest_freeze import diff, digest_of, freeze
from jobs.manifest_products import COLUMN, read_product, sql_of
from jobs.manifest_toml import FILE, InvalidJobError, Problems, Section, line_index, parse_toml
from jobs.manifest_values import (
    MIB,
    ChartProduct,
    FileProduct,
    Job,
    ModelProduct,
    OpaqueProduct,
    Product,
    ReportProduct,
    Run,
    StatisticProduct,
    TableProduct,
)
from lineage.errors import DefinitionError


__all__ = [
    "ChartProduct",
    "FileProduct",
    "InvalidJobError",
    "Job",
    "ModelProduct",
    "OpaqueProduct",
    "Product",
    "ReportProduct",
    "Run",
    "StatisticProduct",
    "TableProduct",
    "diff",
    "digest_of",
    "freeze",
    "load_job",
]

TABLE_NAME = re.compile(r"[^\W\d][\w-]{0,62}\.[^\W\d][\w-]{0,62}")
# ASCII digits only: a full-width digit reads like another number to a reviewer's eye.
MEMORY = re.compile(r"([0-9]{1,6})([mg])")
MOST_OF_A_KIND = 100


def load_job(folder: Path) -> Job:
    """Read a job folder.

    Raises:
        InvalidJobError: code ``job.invalid``; its ``problems`` name every file and line.
    """
    try:
        text = read_text(folder, FILE)
    except DefinitionError as error:
        problem = DefinitionError(error.code, **{"file": FILE, "line": 1, **error.params})
        raise InvalidJobError((problem,)) from error
    except OSError as error:
        raise InvalidJobError((DefinitionError("job.file-missing", file=FILE, line=1, path=FILE),)) from error
    values, problems = parse_toml(text), Problems()
    reader = _Reader(folder, values, line_index(text), problems)
    job = reader.job()
    problems.check()
    return job


class _Reader:
    """Reads one parsed ``job.toml``."""

    def __init__(
        self, folder: Path, values: Mapping[str, Any], lines: Mapping[tuple[str, int, str], int], problems: Problems
    ) -> None:
        self.folder = folder
        self.lines = lines
        self.problems = problems
        self.top = Section("", 0, values, lines, problems)

    def job(self) -> Job:
        """Read everything; what is wrong is noted, and the caller asks before it uses the result."""
        head = self._one("job")
        name = head.text("name", r"[a-z][a-z0-9-]{0,62}", needs="a-z 0-9 -")
        scenario = head.text("scenario", r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", needs="S-0001")
        head.done()
        inputs = self._inputs()
        steps = self._steps(inputs)
        runs = self._runs()
        products = self._products(runs)
        self.top.done()
        return Job(name, scenario, inputs, steps, tuple(runs.values()), tuple(products.values()))

    def _one(self, table: str) -> Section:
        value = self.top.raw(table)
        if value is not None and not isinstance(value, dict):
            self.top.wrong(table, f"[{table}]")
        return Section(table, 0, value if isinstance(value, dict) else {}, self.lines, self.problems)

    def _many(self, table: str) -> list[Section]:
        value = self.top.raw(table, required=False)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.top.wrong(table, f"[[{table}]]")
            return []
        if len(value) > MOST_OF_A_KIND:
            self.top.wrong(table, f"≤ {MOST_OF_A_KIND}")
        return [
            Section(table, number, item, self.lines, self.problems)
            for number, item in enumerate(value[:MOST_OF_A_KIND])
        ]

    def _inputs(self) -> Mapping[str, str]:
        section = self._one("inputs")
        inputs: dict[str, str] = {}
        for name, table in section.values.items():
            if not re.fullmatch(COLUMN, name) or not isinstance(table, str) or not TABLE_NAME.fullmatch(table):
                section.wrong(name[:80], 'name = "provider.table"')
            elif name.lower() in {known.lower() for known in inputs}:
                self._twice(section, name)
            else:
                inputs[name] = table
        if not section.values and "inputs" in self.top.values:
            section.wrong("", 'name = "provider.table"')
        return inputs

    def _steps(self, inputs: Mapping[str, str]) -> Mapping[str, str]:
        steps: dict[str, str] = {}
        for section in self._many("step"):
            name = section.text("name", COLUMN, needs="name")
            if name.lower() in {known.lower() for known in (*inputs, *steps)}:
                self._twice(section, name)
            steps[name] = sql_of(section, "sql", self.folder)
            section.done()
        return steps

    def _runs(self) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        for section in self._many("run"):
            entry = section.text("entry", r"\S+\.py", needs="*.py")
            stem = re.sub(r"\W", "_", Path(entry).stem)
            run = Run(
                name=section.text("name", COLUMN, stem, needs="name"),
                runtime=section.text("runtime", "spark|python", needs="spark | python") or "python",
                entry=entry,
                cores=section.whole("cores", 1, 64, default=1),
                memory_bytes=_memory(section),
                minutes=section.whole("minutes", 1, 24 * 60, default=10),
            )
            if entry:
                self.problems.attempt(partial(read_plain, self.folder, entry), section.line("entry"))
            if run.name in runs:
                self._twice(section, run.name)
            runs[run.name] = run
            section.done()
        return runs

    def _products(self, runs: Mapping[str, Run]) -> dict[str, Product]:
        products: dict[str, Product] = {}
        for section in self._many("product"):
            product = read_product(section, self.folder)
            if product is None:
                continue
            if product.name and product.name in products:
                self._twice(section, product.name)
            products[product.name] = self._linked(section, product, products, runs)
        if not self.top.values.get("product"):
            self.problems.add("job.missing-key", 1, table=FILE, key="[[product]]")
        return products

    def _linked(
        self, section: Section, product: Product, before: Mapping[str, Product], runs: Mapping[str, Run]
    ) -> Product:
        """Hold a product's references to what stands in the file."""
        if isinstance(product, ChartProduct) and not isinstance(
            before.get(product.of), StatisticProduct | TableProduct
        ):
            section.wrong("of", "statistic | table")
        if not isinstance(product, OpaqueProduct):
            return product
        if not product.run and len(runs) == 1:
            return replace(product, run=next(iter(runs)))
        if product.run not in runs:
            section.wrong("run", "[[run]] name")
        return product

    def _twice(self, section: Section, name: str) -> None:
        key = name if section.table == "inputs" else "name"
        self.problems.add("job.name-twice", section.line(key), name=name[:80])


def _memory(section: Section) -> int:
    text = section.text("memory", MEMORY.pattern, "2g", needs="512m | 4g")
    match = MEMORY.fullmatch(text)
    if match is None:
        return 2048 * MIB
    size = int(match.group(1)) * MIB * (1024 if match.group(2) == "g" else 1)
    if not 256 * MIB <= size <= 1024 * 1024 * MIB:
        section.wrong("memory", "256m…1024g")
        return 2048 * MIB
    return size
