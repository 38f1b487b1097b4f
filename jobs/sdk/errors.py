"""Mistakes in a job's code, told in both languages: the message catalogue stays outside the jail."""

from __future__ import annotations

from collections.abc import Iterable


class JobError(Exception):
    """The job asked for something that cannot be; the text says what can."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh}\n{en}")


def not_granted(name: str, granted: Iterable[str]) -> JobError:
    """Say that a table is not granted, and which are."""
    names = sorted(granted)
    return JobError(
        f"数据表 {name!r} 不在本任务的授权范围内。可用的数据表:{'、'.join(names) or '无'}。如需使用,请先提出数据申请。",
        f"Table {name!r} is not granted to this job. Granted: {', '.join(names) or 'none'}. File a data request to use it.",
    )


def no_spark() -> JobError:
    """Say that Spark is there only for a job that asked for it."""
    return JobError(
        '本任务的 runtime 是 "python",没有 Spark。请使用 job.table 或 job.sql,或在 job.toml 中把 runtime 改为 "spark"。',
        'This job has runtime = "python", so there is no Spark. Use job.table or job.sql, or set runtime = "spark" in job.toml.',
    )


def bad_name(name: str) -> JobError:
    """Say what a file in the outbox may be called."""
    return JobError(
        f"文件名 {name!r} 不合规定:只能用字母、数字、点、下划线和连字符,不以点或连字符开头,最多放在一级目录中。",
        f"The file name {name!r} is not allowed: letters, digits, dots, underscores and hyphens, no leading dot or hyphen, "
        "at most one folder.",
    )


def bad_content(kind: str) -> JobError:
    """Say what can be saved."""
    return JobError(
        f"不能保存 {kind} 类型的内容:请给出 bytes、str 或数据表(文件名以 .csv、.parquet 或 .json 结尾)。",
        f"Cannot save a {kind}: give bytes, str, or a data frame with a name ending in .csv, .parquet or .json.",
    )


def no_main(entry: str) -> JobError:
    """Say that the entry file has no ``main``."""
    return JobError(
        f"{entry} 中没有 main(job) 函数,任务无从开始。",
        f"{entry} has no function main(job) to start with.",
    )


def bad_estimator(kind: str) -> JobError:
    """Say that a model is described by a scikit-learn estimator."""
    return JobError(
        f"{kind} 不是 scikit-learn 估计器:请给出含 get_params 方法、参数为数值或文字的估计器。",
        f"{kind} is not a scikit-learn estimator with plain parameters; give one that has get_params.",
    )
