# ruff: noqa: S608 - this module writes SQL; names and expressions come from the checked query, values are parameters
"""The SQL of the bounding: one statement for DuckDB, one scan of the rows, arithmetic on integers only.

Its names speak of the proof in ``docs/proofs/l2-ball.md``: w is a subject's value in a group in fixed point, q the sum of a
subject's w², r a whole number not below √q, D the radius, z the scaled w. No content of the tables makes the statement fail (law 8).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from export_gate.statistic.measures import Kind
from export_gate.statistic.price import Noise, Price
from export_gate.statistic.values import Argument, argument_of, bounded_value


LARGEST_CELL = 2**31
"""Most that |w| may be before scaling, and never below a radius: w², w·D and r stay within 64 bits, q within 128."""


def statement(
    source: str, subject: str, keys: Sequence[str], whole: Collection[str], price: Price, public: Sequence[str] | None
) -> str:
    """Write the statement; it gives one row a group: the keys, then one total a measure in the order of the price.

    Args:
        source: SELECT of the rows.
        subject: quoted name of the subject's column.
        keys: expressions of the keys, already whole numbers or text.
        whole: the summed expressions whose type holds whole numbers only.
        price: radius and fixed point of every measure, and the cap on groups.
        public: for each key the list parameter that holds it, or None when the groups are secret; then ``$salt`` is needed.
    """
    count = len(price.noises)
    names = [f"k{position}" for position in range(len(keys))]
    arguments = sorted({argument for noise in price.noises if (argument := argument_of(noise.measure)) is not None})
    columns = {argument: f"x{position}" for position, argument in enumerate(arguments)}
    selected = [f"{key} AS {name}" for key, name in zip(keys, names, strict=True)]
    selected += [f"{bounded_value(argument, whole)} AS {name}" for argument, name in columns.items()]
    cells = ", ".join(f"{_cell(noise, columns)} AS w{i}" for i, noise in enumerate(price.noises))
    parts = {
        "typed": f"SELECT * FROM (SELECT {', '.join([f'{subject} AS s', *selected])} FROM ({source}) AS source_rows) AS rows_of_all "
        "WHERE s IS NOT NULL",
        "grouped": f"SELECT s, {_list(names)}{cells} FROM typed GROUP BY {', '.join(['s', *names])}",
        **_kept(names, price.group_cap, public),
        "norms": f"SELECT s{_each(', CAST(sum(w{0} * w{0}) AS HUGEINT) AS q{0}', count)} FROM kept GROUP BY s",
        "roots": f"SELECT s{_each(', q{0}, CAST(ceil(sqrt(CAST(q{0} AS DOUBLE))) AS HUGEINT) AS e{0}', count)} FROM norms",
        "radii": f"SELECT s, {', '.join(map(_root, range(count)))} FROM roots",
        "scaled": f"SELECT {_list(names)}{', '.join(_scaled(i, noise) for i, noise in enumerate(price.noises))} "
        "FROM kept JOIN radii USING (s)",
    }
    totals = ", ".join(f"CAST(sum(z{i}) AS HUGEINT)" for i in range(count))
    grouping = f" GROUP BY {', '.join(names)}" if names else ""
    chain = ", ".join(f"{name} AS ({sql})" for name, sql in parts.items())
    return f"WITH {chain} SELECT {_list(names)}{totals} FROM scaled{grouping}"


def _each(template: str, count: int) -> str:
    return "".join(template.format(position) for position in range(count))


def _list(names: Sequence[str]) -> str:
    return "".join(f"{name}, " for name in names)


def _cell(noise: Noise, columns: dict[Argument, str]) -> str:
    """Add up a subject's rows within a group, cut where the square would no longer fit, and bring them to fixed point: w."""
    measure, limit = noise.measure, LARGEST_CELL // noise.fixed_point
    argument = argument_of(measure)
    if measure.kind is Kind.SUBJECTS:
        return f"CAST({noise.fixed_point} AS BIGINT)"
    if measure.kind is Kind.ROWS:
        counted = "*" if argument is None else columns[argument]
        return f"CAST(least(count({counted}), {limit}) * {noise.fixed_point} AS BIGINT)"
    if argument is None:
        raise ValueError("a sum has an argument")
    total = f"coalesce(sum({columns[argument]}), 0)"
    return f"CAST(greatest(-{limit}, least({limit}, {total})) AS BIGINT) * {noise.fixed_point}"


def _kept(names: Sequence[str], cap: int | None, public: Sequence[str] | None) -> dict[str, str]:
    """Leave out groups that are not public, or, when groups are secret, those a subject has beyond the cap.

    Which ones depends on the subject's own rows and on the secret salt alone.
    """
    if public is not None:
        if not names:
            return {"kept": "SELECT * FROM grouped"}
        lists = ", ".join(f"unnest({parameter}) AS p{i}" for i, parameter in enumerate(public))
        match = " AND ".join(f"k{i} IS NOT DISTINCT FROM p{i}" for i in range(len(names)))
        return {"allowed": f"SELECT {lists}", "kept": f"SELECT grouped.* FROM grouped SEMI JOIN allowed ON {match}"}
    order = f"sha256(concat_ws('/', $salt, CAST(s AS VARCHAR), {', '.join(names)}))"
    return {
        "many": f"SELECT s FROM grouped GROUP BY s HAVING count(*) > {cap}",
        "kept": "SELECT * FROM grouped ANTI JOIN many USING (s) UNION ALL SELECT * FROM grouped SEMI JOIN many USING (s) "
        f"QUALIFY row_number() OVER (PARTITION BY s ORDER BY {order}, {', '.join(names)}) <= {cap}",
    }


def _root(position: int) -> str:
    """Give r ≥ √q, or NULL when both candidates from the double root are too small: then the subject counts nothing."""
    q, e = f"q{position}", f"e{position}"
    return f"CASE WHEN {e} * {e} >= {q} THEN {e} WHEN ({e} + 1) * ({e} + 1) >= {q} THEN {e} + 1 END AS r{position}"


def _scaled(position: int, noise: Noise) -> str:
    """Scale w into the ball: w·D / max(r, D), cut towards zero, so that no component grows and the norm is at most D."""
    divisor = f"greatest(CAST(r{position} AS BIGINT), {noise.radius})"
    return f"CASE WHEN r{position} IS NULL THEN 0 ELSE w{position} * {noise.radius} // {divisor} END AS z{position}"
