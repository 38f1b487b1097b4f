"""The granted tables of a job, as Spark or as DuckDB and pandas see them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from . import delta_files, errors, spark_session


class Tables(ABC):
    """Tables by name; ``steps`` are named queries over them, each usable by the ones after it."""

    def __init__(self, places: Mapping[str, str], steps: Sequence[tuple[str, str]]) -> None:
        self.places = dict(places)
        self.steps = list(steps)

    @property
    def names(self) -> list[str]:
        """Names of all tables and steps."""
        return [*self.places, *(name for name, _ in self.steps)]

    def table(self, name: str) -> Any:
        """Give one table or step.

        Raises:
            JobError: it is not granted.
        """
        if name not in self.names:
            raise errors.not_granted(name, self.names)
        return self.read(name)

    @abstractmethod
    def read(self, name: str) -> Any:
        """Give a known table."""

    @abstractmethod
    def sql(self, query: str) -> Any:
        """Run a query over all tables."""

    @property
    @abstractmethod
    def spark(self) -> Any:
        """The Spark session."""

    @abstractmethod
    def close(self) -> None:
        """End the engine."""


class SparkTables(Tables):
    """Delta tables as Spark data frames and temporary views."""

    def __init__(self, places: Mapping[str, str], steps: Sequence[tuple[str, str]]) -> None:
        super().__init__(places, steps)
        self._spark = spark_session.open_session()
        for name, place in self.places.items():
            _read_table(self._spark, place).createOrReplaceTempView(name)
        for name, query in self.steps:
            self._spark.sql(query).createOrReplaceTempView(name)

    def read(self, name: str) -> Any:
        """Give a Spark data frame."""
        return self._spark.table(name)

    def sql(self, query: str) -> Any:
        """Run Spark SQL; gives a Spark data frame."""
        from pyspark.errors import AnalysisException

        try:
            return self._spark.sql(query)
        except AnalysisException as error:
            if error.getCondition() == "TABLE_OR_VIEW_NOT_FOUND":
                parameters = error.getMessageParameters() or {}
                raise errors.not_granted(parameters.get("relationName", "?").strip("`"), self.names) from error
            raise

    @property
    def spark(self) -> Any:
        """The Spark session."""
        return self._spark

    def close(self) -> None:
        """Let go of the engine; nothing of it is kept."""
        spark_session.close()


def _read_table(session: Any, place: str) -> Any:
    """Read a plain table's files directly, any other through Delta."""
    table = delta_files.read_plain(place)
    if table is None or not table.files:
        return session.read.format("delta").load(place)
    from pyspark.sql.types import StructType

    return session.read.schema(StructType.fromJson(dict(table.schema))).parquet(*table.files)


class LocalTables(Tables):
    """Delta tables as pandas data frames and DuckDB views."""

    def __init__(self, places: Mapping[str, str], steps: Sequence[tuple[str, str]]) -> None:
        super().__init__(places, steps)
        import duckdb
        from deltalake import DeltaTable

        megabytes = int(os.environ["SHUZHA_MEMORY"]) // 2_000_000
        threads = int(os.environ["SHUZHA_CORES"])
        self._duckdb = duckdb.connect(config={"threads": threads, "memory_limit": f"{megabytes}MB"})
        for name, place in self.places.items():
            self._duckdb.register(name, DeltaTable(place).to_pyarrow_dataset())
        for name, query in self.steps:
            self._duckdb.execute(f"CREATE VIEW {_quoted(name)} AS {query}")

    def read(self, name: str) -> Any:
        """Give a pandas data frame."""
        return self._duckdb.table(_quoted(name)).df()

    def sql(self, query: str) -> Any:
        """Run DuckDB SQL; gives a pandas data frame."""
        import duckdb

        try:
            return self._duckdb.sql(query).df()
        except duckdb.CatalogException as error:
            if "Table with name" in str(error):
                raise errors.not_granted(str(error).split("Table with name ")[1].split()[0], self.names) from error
            raise

    @property
    def spark(self) -> Any:
        """Refuse: this job has no Spark."""
        raise errors.no_spark()

    def close(self) -> None:
        """Close the database."""
        self._duckdb.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
