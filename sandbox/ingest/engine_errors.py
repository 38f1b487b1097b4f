"""What the engine and the operating system say, as errors of the catalogue; their own texts quote cells and paths and go nowhere."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from lineage.errors import DataFileError, MissingPartError, ShuzhaError
from sandbox.ingest.source import Format, Source


_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_TEXTS = ("No space left on device", "Disk quota exceeded")


@contextmanager
def explained(source: Source | None) -> Iterator[None]:
    """Turn failures inside into errors that a person can act on.

    Args:
        source: what is being read, which is to blame when the engine cannot read it; None where only our own folders are touched.

    Raises:
        MissingPartError: no space left, or the engine failed on data that had passed every check.
        DataFileError: the engine cannot read the Parquet file or Delta table.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except ShuzhaError:
        raise
    except (PySparkException, Py4JError, OSError) as error:
        raise _explain(error, source) from error


def _explain(error: Exception, source: Source | None) -> ShuzhaError:
    text = str(error)
    if getattr(error, "errno", None) in _FULL or any(sign in text for sign in _FULL_TEXTS):
        return MissingPartError("import.disk-full")
    if isinstance(error, OSError):
        return MissingPartError("import.store-failed", reason=type(error).__name__)
    if source and source.format is Format.PARQUET:
        return DataFileError("import.parquet-damaged", file=source.shown)
    if source and source.format is Format.DELTA:
        return DataFileError("import.delta-unreadable", file=source.shown)
    return MissingPartError("import.engine-failed", reason=type(error).__name__)
