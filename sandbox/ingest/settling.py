"""No task of a failed import works on: a job that fails returns while its other tasks still write, and could put back what was undone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.ingest.transaction import UnsettledError


if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

_PATIENCE = 60.0
"""Seconds until tasks that do not end are given up."""

_PROPERTIES = ("spark.jobGroup.id", "spark.job.description", "spark.job.interruptOnCancel")


@contextmanager
def settled(spark: SparkSession) -> Iterator[None]:
    """Run the block as a group of jobs of its own; when it fails, stop the group and wait for its last task.

    Raises:
        UnsettledError: tasks do not end.
    """
    from py4j.protocol import Py4JError

    context = spark.sparkContext
    group = f"import-{secrets.token_hex(8)}"
    context.setJobGroup(group, "import", interruptOnCancel=True)
    try:
        yield
    except BaseException:
        try:
            context.cancelJobGroup(group)
            _wait(context, group)
        except (Py4JError, OSError):
            pass  # the engine is gone, and its tasks with it
        raise
    finally:
        _leave(context)


def _wait(context: SparkContext, group: str) -> None:
    end = time.monotonic() + _PATIENCE
    while _active(context, group):
        if time.monotonic() > end:
            raise UnsettledError("import.engine-failed", reason="tasks do not end")
        time.sleep(0.02)


def _active(context: SparkContext, group: str) -> int:
    # The tracker hears of tasks by events, and the failure of a job overtakes the start of its last tasks.
    context._jsc.sc().listenerBus().waitUntilEmpty(int(_PATIENCE * 1000))  # noqa: SLF001
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
    stages = [tracker.getStageInfo(stage) for job in jobs if job is not None for stage in job.stageIds]
    return sum(stage.numActiveTasks for stage in stages if stage is not None)


def _leave(context: SparkContext) -> None:
    from py4j.protocol import Py4JError

    try:
        for name in _PROPERTIES:
            context.setLocalProperty(name, None)
    except (Py4JError, OSError):
        pass  # the engine is gone
