# ruff: noqa: S608 - this module writes SQL; names and expressions come from the checked query, values are parameters
"""The SQL of the bounding: one statement for DuckDB, one scan of the rows, arithmetic on integers only.

Its names speak of the proof in ``docs/proofs/l2-ball.md``: v is a subject's value in a group, w the same in fixed point, q the sum
of a subject's w², r a whole number not below √q, D the radius. Written for totality: no content of the tables raises an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from export_gate.statistic.measures import Kind, Measure
from export_gate.statistic.price import Noise, Price


LARGEST_CELL = 2**31
"""Most that |w| may be before scaling: w², w·D and r stay within 64 bits, q within 128. Never below a radius."""


def statement(
    source: str, subject: str, keys: Sequence[str], price: Price, public: Sequence[str] | None, salt: str = "$salt"
) -> str:
    """Write the statement; it gives one row a group: the keys, then one total a measure in the order of the price.

    Args:
        source: SELECT of the rows.
        subject: quoted name of the subject's column.
        keys: expressions of the keys, already whole numbers or text.
        price: radius and fixed point of every measure, and the cap on groups.
        public: for each key the list parameter that holds it, or None when the groups are secret.
        salt: parameter that holds the salt.
    """
    measures = [noise.measure for noise in price.noises]
    names = [f"k{position}" for position in range(len(keys))]
    columns = {argument: f"x{position}" for position, argument in enumerate(_arguments(measures))}
    parts = {
        "typed": _typed(source, subject, keys, names, columns),
        "grouped": _grouped(names, measures, columns),
        **_kept(names, price.group_cap, public, salt),
        "fixed": _fixed(names, price.noises),
        "norms": f"SELECT s{_each(', CAST(sum(w{0} * w{0}) AS HUGEINT) AS q{0}', measures)} FROM fixed GROUP BY s",
        "roots": f"SELECT s{_each(', q{0}, CAST(ceil(sqrt(CAST(q{0} AS DOUBLE))) AS HUGEINT) AS e{0}', measures)} FROM norms",
        "radii": f"SELECT s{''.join(f', {_radius(i)}' for i in range(len(measures)))} FROM roots",
        "scaled": f"SELECT {_list(names)}{', '.join(_scaled(i, noise) for i, noise in enumerate(price.noises))} "
        "FROM fixed JOIN radii USING (s)",
    }
    totals = ", ".join(f"CAST(sum(z{i}) AS HUGEINT)" for i in range(len(measures)))
    grouping = f" GROUP BY {', '.join(names)}" if names else ""
    chain = ", ".join(f"{name} AS ({sql})" for name, sql in parts.items())
    return f"WITH {chain} SELECT {_list(names)}{totals} FROM scaled{grouping}"


def _each(template: str, items: Sequence[object]) -> str:
    return "".join(template.format(position) for position in range(len(items)))


def _list(names: Sequence[str]) -> str:
    return "".join(f"{name}, " for name in names)


Argument = tuple[str, int, int, int]
"""An expression with the bounds and the unit its values are brought to; equal bounds mark one that is only counted."""


def _argument(measure: Measure) -> Argument | None:
    return None if measure.argument is None else (measure.argument, measure.low, measure.high, measure.unit)


def _arguments(measures: Sequence[Measure]) -> list[Argument]:
    return sorted({argument for measure in measures if (argument := _argument(measure)) is not None})


def _typed(source: str, subject: str, keys: Sequence[str], names: Sequence[str], columns: dict[Argument, str]) -> str:
    """Take subject, keys and bounded values out of the rows; a row without a subject belongs to nobody and is dropped."""
    selected = "".join(f", {key} AS {name}" for key, name in zip(keys, names, strict=True))
    values = "".join(f", {_bounded_value(argument)} AS {name}" for argument, name in columns.items())
    return f"SELECT * FROM (SELECT {subject} AS s{selected}{values} FROM ({source}) AS source_rows) AS t WHERE s IS NOT NULL"


def _bounded_value(argument: Argument) -> str:
    """Bring a value to a whole number of units within its bounds; no number gives NULL, infinity gives the nearer bound.

    The comparison in doubles only catches what is too large for decimals; what passes it is cut exactly afterwards.
    """
    expression, low, high, unit = argument
    above, below = f"1.0 * {high + 1}e{unit}", f"1.0 * {low - 1}e{unit}"
    if unit <= 0:
        factor = 10**-unit
        whole = f"TRY_CAST(TRY_CAST({expression} AS DECIMAL(28, {-unit})) * CAST({factor} AS DECIMAL(10, 0)) AS BIGINT)"
    else:
        half = f"{5 * 10 ** (unit - 1)}"
        number = f"CAST(TRY_CAST({expression} AS DECIMAL(28, 0)) AS HUGEINT)"
        whole = f"TRY_CAST(({number} + CASE WHEN {number} < 0 THEN -{half} ELSE {half} END) // {10**unit} AS BIGINT)"
    value = f"TRY_CAST({expression} AS DOUBLE)"
    return (
        f"TRY(CASE WHEN {value} IS NULL OR isnan({value}) THEN NULL WHEN {value} >= {above} THEN {high} "
        f"WHEN {value} <= {below} THEN {low} ELSE CASE WHEN {whole} > {high} THEN {high} WHEN {whole} < {low} THEN {low} "
        f"ELSE {whole} END END)"
    )


def _grouped(names: Sequence[str], measures: Sequence[Measure], columns: dict[Argument, str]) -> str:
    """Add up each subject's rows within each group: v."""
    values = "".join(f", {_value(measure, columns)} AS v{position}" for position, measure in enumerate(measures))
    return f"SELECT s, {_list(names)}1 AS one{values} FROM typed GROUP BY {', '.join(['s', *names])}"


def _value(measure: Measure, columns: dict[Argument, str]) -> str:
    argument = _argument(measure)
    if measure.kind is Kind.SUBJECTS:
        return "CAST(1 AS HUGEINT)"
    if argument is None:
        return "CAST(count(*) AS HUGEINT)"
    column = columns[argument]
    return (
        f"CAST(count({column}) AS HUGEINT)"
        if measure.kind is Kind.ROWS
        else f"CAST(coalesce(sum({column}), 0) AS HUGEINT)"
    )


def _kept(names: Sequence[str], cap: int | None, public: Sequence[str] | None, salt: str) -> dict[str, str]:
    """Leave out groups that are not public, or, when groups are secret, those a subject has beyond the cap."""
    if public is not None:
        if not names:
            return {"kept": "SELECT * FROM grouped"}
        lists = ", ".join(f"unnest({parameter}) AS p{i}" for i, parameter in enumerate(public))
        match = " AND ".join(f"k{i} IS NOT DISTINCT FROM p{i}" for i in range(len(names)))
        return {"allowed": f"SELECT {lists}", "kept": f"SELECT grouped.* FROM grouped SEMI JOIN allowed ON {match}"}
    order = f"sha256(concat_ws('/', {salt}, CAST(s AS VARCHAR), {', '.join(names)}))"
    return {
        "many": f"SELECT s FROM grouped GROUP BY s HAVING count(*) > {cap}",
        "kept": "SELECT * FROM grouped ANTI JOIN many USING (s) UNION ALL SELECT * FROM grouped SEMI JOIN many USING (s) "
        f"QUALIFY row_number() OVER (PARTITION BY s ORDER BY {order}, {', '.join(names)}) <= {cap}",
    }


def _fixed(names: Sequence[str], noises: Sequence[Noise]) -> str:
    """Bring v to fixed point: w, cut to where its square still fits."""
    cells = []
    for position, noise in enumerate(noises):
        limit = LARGEST_CELL // noise.fixed_point
        cells.append(
            f"CAST(greatest(-{limit}, least({limit}, v{position})) * {noise.fixed_point} AS BIGINT) AS w{position}"
        )
    return f"SELECT s, {_list(names)}{', '.join(cells)} FROM kept"


def _radius(position: int) -> str:
    """Give r ≥ √q, or NULL when the two candidates from the double root are both too small: then the subject counts nothing."""
    q, e = f"q{position}", f"e{position}"
    return f"CASE WHEN {e} * {e} >= {q} THEN {e} WHEN ({e} + 1) * ({e} + 1) >= {q} THEN {e} + 1 END AS r{position}"


def _scaled(position: int, noise: Noise) -> str:
    """Scale w into the ball: w·D / max(r, D), cut towards zero, so that no component grows and the norm is at most D."""
    divisor = f"greatest(CAST(r{position} AS BIGINT), {noise.radius})"
    return f"CASE WHEN r{position} IS NULL THEN 0 ELSE w{position} * {noise.radius} // {divisor} END AS z{position}"
