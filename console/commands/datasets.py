"""The catalogue and imports on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.door import door


if TYPE_CHECKING:
    from console.door import Door


def infer(
    file: Path,
    name: Annotated[str, typer.Option()],
    title: Annotated[str, typer.Option()] = "",
    format: Annotated[str, typer.Option()] = "",  # noqa: A002 - the option's name
    encoding: Annotated[str, typer.Option()] = "utf-8",
    delimiter: Annotated[str, typer.Option()] = ",",
    rename: Annotated[list[str] | None, typer.Option()] = None,
) -> None:
    """Suggest a declaration for a file."""
    from console.formats import guess_format, read_renames
    from sandbox.engine import jars_folder, spark_session
    from sandbox.ingest import Format, Source, infer_schema
    from sandbox.schema_file import draft

    chosen = guess_format(file, format)
    source = Source(file, chosen, encoding, delimiter)
    needs_spark = chosen in {Format.PARQUET, Format.DELTA}
    spark = spark_session(jars_folder()) if needs_spark else None
    schema = infer_schema(spark, source, read_renames(rename or []))
    text = draft(name, title or name, source, schema)
    door().give({"declaration": text}, shown=text)


def import_file(
    file: Path, schema: Annotated[Path, typer.Option()], as_of: Annotated[str, typer.Option()] = ""
) -> None:
    """Import a file by its declaration; declares the dataset at the first import."""
    from console.formats import read_day
    from lineage.errors import NotPermittedError
    from sandbox.catalogue import own_dataset
    from sandbox.engine import jars_folder, spark_session
    from sandbox.importing import declare_dataset, import_dataset
    from sandbox.roles import Permission
    from sandbox.schema_file import read_declaration

    here = door()
    session = here.session
    session.check(Permission.DATASET_IMPORT)
    declaration = read_declaration(schema)
    try:
        with here.domain.read() as connection:
            own_dataset(connection, session, declaration.name)
    except NotPermittedError:
        declare_dataset(here.domain, session, declaration)
    day = read_day(as_of) if as_of else here.domain.now().date()
    spark = spark_session(jars_folder())
    version, imported = import_dataset(here.domain, session, spark, declaration.name, declaration.source(file), day)
    here.give(
        {
            "dataset": declaration.name,
            "version": version.version,
            "as_of": version.as_of,
            "rows": version.rows,
            "quarantined": dict(version.quarantined),
            "quality": {one.name: {"nulls": one.nulls, "distinct": one.distinct} for one in imported.quality},
        }
    )


def classify(name: str) -> None:
    """Suggest role and grade of each column from its name and a sample of its values."""
    from desensitize.cataloguing import classify_dataset
    from sandbox.catalogue import own_dataset
    from sandbox.engine import jars_folder, spark_session
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.DATASET_GRADE)
    with here.domain.read() as connection:
        own_dataset(connection, here.session, name)
    found = classify_dataset(here.domain, here.session, spark_session(jars_folder()), name)
    rows = [
        (column, _role(here, str(s["role"])), s["grade"], s["entity"], s["confidence"]) for column, s in found.items()
    ]
    here.give_rows(["column", "role", "grade", "entity", "confidence"], rows)


def grade(
    name: str,
    set: Annotated[list[str] | None, typer.Option()] = None,  # noqa: A002 - the option's name
    accept: Annotated[bool, typer.Option("--accept-suggestions")] = False,
) -> None:
    """Confirm roles and grades: --set column=role:grade, or accept what was suggested for the rest."""
    from console.formats import read_grades
    from sandbox.catalogue import columns_of, own_dataset
    from sandbox.catalogue import grade as confirm
    from sandbox.roles import Permission

    here = door()
    here.session.check(Permission.DATASET_GRADE)
    with here.domain.read() as connection:
        listed = columns_of(connection, own_dataset(connection, here.session, name).id)
    confirmed = read_grades(set or [], listed, accept=accept)
    confirm(here.domain, here.session, name, confirmed)
    rows = [(c, _role(here, r), int(g), e) for c, (r, g, e) in confirmed.items()]
    here.give_rows(["column", "role", "grade", "entity"], rows)


def close(name: str, reason: Annotated[str, typer.Option()], column: Annotated[str, typer.Option()] = "") -> None:
    """Close a dataset or a column: it cannot be authorized at all."""
    from sandbox.catalogue import close as shut

    here = door()
    shut(here.domain, here.session, name, column or None, reason)
    here.say("done.closed", name=f"{name}.{column}" if column else name)


def list_all() -> None:
    """List the catalogue."""
    from sandbox.catalogue import list_datasets, versions_of

    here = door()
    with here.domain.read() as connection:
        rows = []
        for one in list_datasets(connection, here.session):
            versions = versions_of(connection, one.id)
            newest = versions[-1] if versions else None
            rows.append(
                (
                    one.name,
                    one.title,
                    one.subject_column,
                    newest and newest.version,
                    newest and newest.as_of,
                    _yes(here, one.closed),
                )
            )
    here.give_rows(["dataset", "title", "subject", "version", "as_of", "closed"], rows)


def show(name: str) -> None:
    """Show a dataset's columns and versions."""
    from sandbox.catalogue import columns_of, listed_dataset, versions_of

    here = door()
    with here.domain.read() as connection:
        found = listed_dataset(connection, here.session, name)
        columns = columns_of(connection, found.id)
        versions = versions_of(connection, found.id)
    if here.as_json:
        here.give(
            {
                "dataset": found.name,
                "subject": found.subject_column,
                "columns": [
                    {"name": c.name, "type": c.type, "role": c.role, "grade": c.grade, "closed": c.closed}
                    for c in columns
                ],
                "versions": [
                    {"version": v.version, "as_of": v.as_of, "rows": v.rows, "quarantined": dict(v.quarantined)}
                    for v in versions
                ],
            }
        )
        return
    here.give_rows(
        ["column", "type", "role", "grade", "closed"],
        [(c.name, c.type, _role(here, c.role), c.grade, _yes(here, c.closed)) for c in columns],
    )
    here.give_rows(
        ["version", "as_of", "rows", "quarantined"], [(v.version, v.as_of, v.rows, v.quarantined) for v in versions]
    )


def _role(here: Door, role: str | None) -> str | None:
    return role if role is None or here.as_json else here.label(f"label.column-role.{role.replace('_', '-')}")


def _yes(here: Door, is_so: bool) -> bool | str:
    return is_so if here.as_json else here.label("label.yes" if is_so else "label.no")


COMMANDS: Mapping[str, Callable[..., None]] = {
    "infer": infer,
    "import": import_file,
    "classify": classify,
    "grade": grade,
    "close": close,
    "list": list_all,
    "show": show,
}
