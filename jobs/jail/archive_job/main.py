"""The job that the class archive is made from: it uses what most jobs use, so that those classes are in it."""

from __future__ import annotations

from typing import Any


def add_one(number: int) -> int:
    """Give the next number; a function in Python makes Spark load all that its workers need."""
    return number + 1


def main(job: Any) -> None:
    """Write and read a Delta table, group, join, sort, use a window and a function, and bring the result to Python."""
    from pyspark.sql import functions

    table = "/tmp/rows"  # noqa: S108 -- inside the jail, a tmpfs of this run alone
    rows = job.spark.range(20_000).selectExpr(
        "id",
        "id % 10 AS kind",
        "CAST(id AS double) AS value",
        "date_add(DATE'2026-01-01', CAST(id % 365 AS int)) AS day",
    )
    rows.write.format("delta").partitionBy("kind").save(table)
    job.spark.read.parquet(table).agg({"value": "avg"}).collect()
    job.spark.read.format("delta").load(table).createOrReplaceTempView("rows")
    job.sql(
        "SELECT kind, COUNT(*) AS n, SUM(value) AS total, COUNT(DISTINCT id) AS ids FROM rows GROUP BY kind ORDER BY kind"
    ).collect()
    job.sql(
        "SELECT a.kind, MAX(b.value) AS top FROM rows a JOIN rows b ON a.id = b.id WHERE a.day > DATE'2026-03-01' GROUP BY a.kind"
    ).toPandas()
    job.sql("SELECT id, ROW_NUMBER() OVER (PARTITION BY kind ORDER BY value DESC) AS place FROM rows").limit(
        5
    ).collect()
    plus = functions.udf(add_one, "long")
    job.spark.table("rows").select(plus("id").alias("next")).agg({"next": "max"}).collect()
