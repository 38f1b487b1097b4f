"""The shared Spark session of the test run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sandbox.engine import jars_folder, spark_session, stop


if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """One session for the whole run, started by the product's own factory."""
    yield spark_session(jars_folder(), memory=os.environ.get("SHUZHA_TEST_MEMORY", "2g"))
    stop()
