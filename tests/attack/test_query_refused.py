"""Attack: SQL that would read, write, run or say more than the query language allows. Each row is refused with its reason."""

from __future__ import annotations

import logging

import pytest

from jobs.query import parse_query, parse_rows, prepare
from lineage.errors import DefinitionError
from sandbox.messages import Language, explain


INPUTS = {
    "visits": ["visit_id", "resident_id", "district", "cost", "day"],
    "residents": ["resident_id", "birth_year", "district"],
}
BIG = "cost" + " + cost" * 9000

REFUSED = {
    # reads what was not granted
    "read_csv": ("SELECT COUNT(*) AS n FROM read_csv('/etc/passwd')", "query.not-a-table"),
    "read_text": ("SELECT COUNT(*) AS n FROM read_text('/etc/passwd')", "query.not-a-table"),
    "read_parquet list": ("SELECT COUNT(*) AS n FROM read_parquet(['/a', '/b'])", "query.not-a-table"),
    "glob function": ("SELECT COUNT(*) AS n FROM glob('/**')", "query.not-a-table"),
    "path as table": ("SELECT COUNT(*) AS n FROM '/etc/passwd'", "query.unknown-table"),
    "glob as table": ("SELECT COUNT(*) AS n FROM '/data/*.parquet'", "query.unknown-table"),
    "quoted path": ('SELECT COUNT(*) AS n FROM "/etc/passwd"', "query.unknown-table"),
    "delta path": ("SELECT COUNT(*) AS n FROM delta.`/x`", "query.syntax"),
    "delta path quoted": ('SELECT COUNT(*) AS n FROM delta."/x"', "query.not-a-table"),
    "url": ("SELECT COUNT(*) AS n FROM 'https://example.org/x.csv'", "query.unknown-table"),
    "information schema": ("SELECT COUNT(*) AS n FROM information_schema.tables", "query.not-a-table"),
    "settings": ("SELECT COUNT(*) AS n FROM duckdb_settings()", "query.not-a-table"),
    "other schema": ("SELECT COUNT(*) AS n FROM main.visits", "query.not-a-table"),
    "time travel": ("SELECT COUNT(*) AS n FROM visits AT (VERSION => 1)", "query.not-a-table"),
    "sample": ("SELECT COUNT(*) AS n FROM visits TABLESAMPLE 10%", "query.not-a-table"),
    "using sample": ("SELECT COUNT(*) AS n FROM visits USING SAMPLE 3", "query.clause"),
    "row number column": ("SELECT SUM(rowid) AS s FROM visits", "query.unknown-column"),
    "column not granted": ("SELECT SUM(income) AS s FROM visits", "query.unknown-column"),
    "whole row": ("SELECT COUNT(visits) AS s FROM visits", "query.unknown-column"),
    # is no question
    "attach": ("ATTACH 'x.db' AS y", "query.not-a-select"),
    "copy out": ("COPY visits TO '/tmp/x'", "query.not-a-select"),
    "copy in": ("COPY visits FROM '/tmp/x'", "query.not-a-select"),
    "pragma": ("PRAGMA database_list", "query.not-a-select"),
    "set": ("SET enable_external_access = true", "query.not-a-select"),
    "install": ("INSTALL httpfs", "query.not-a-select"),
    "load": ("LOAD httpfs", "query.not-a-select"),
    "export": ("EXPORT DATABASE '/tmp/x'", "query.syntax"),
    "macro": ("CREATE MACRO f(x) AS x + 1", "query.not-a-select"),
    "create table as": ("CREATE TABLE t AS SELECT * FROM visits", "query.not-a-select"),
    "insert": ("INSERT INTO visits VALUES (1)", "query.not-a-select"),
    "explain": ("EXPLAIN SELECT COUNT(*) FROM visits", "query.not-a-select"),
    "describe": ("DESCRIBE visits", "query.not-a-select"),
    "union": ("SELECT COUNT(*) AS n FROM visits UNION SELECT COUNT(*) FROM residents", "query.not-a-select"),
    "values": ("VALUES (1)", "query.not-a-select"),
    "stacked": ("SELECT COUNT(*) AS n FROM visits; DROP TABLE visits", "query.one-statement"),
    "stacked behind a comment": ("SELECT COUNT(*) AS n FROM visits --;\n; DROP TABLE visits", "query.one-statement"),
    "stacked in a block comment": ("SELECT COUNT(*) /* ; */ AS n FROM visits /* x */; SELECT 1", "query.one-statement"),
    "empty second": ("SELECT COUNT(*) AS n FROM visits;;", "query.one-statement"),
    "nothing": ("", "query.one-statement"),
    "only a comment": ("-- SELECT 1", "query.one-statement"),
    "NUL": ("SELECT COUNT(*) AS n FROM visits\x00", "query.too-large"),
    # functions
    "getenv": ("SELECT getenv('HOME') AS k, COUNT(*) AS n FROM visits GROUP BY 1", "query.not-allowed"),
    "current_setting": ("SELECT SUM(current_setting('threads')) AS s FROM visits", "query.not-allowed"),
    "random": ("SELECT SUM(random()) AS s FROM visits", "query.not-allowed"),
    "uuid": ("SELECT COUNT(uuid()) AS s FROM visits", "query.not-allowed"),
    "now": ("SELECT COUNT(now()) AS s FROM visits", "query.not-allowed"),
    "current_date": ("SELECT COUNT(current_date) AS s FROM visits", "query.not-allowed"),
    "lambda": ("SELECT SUM(list_transform(cost, x -> x + 1)) AS s FROM visits", "query.not-allowed"),
    "list comprehension": ("SELECT SUM([x + 1 FOR x IN cost]) AS s FROM visits", "query.not-allowed"),
    "unknown function": ("SELECT SUM(my_udf(cost)) AS s FROM visits", "query.not-allowed"),
    "error": ("SELECT SUM(error(district)) AS s FROM visits", "query.not-allowed"),
    "query": ("SELECT COUNT(*) AS n FROM query('SELECT 1')", "query.not-a-table"),
    "slow pattern": ("SELECT COUNT(*) AS n FROM visits WHERE regexp_matches(district, '(a+)+$')", "query.not-allowed"),
    "hash": ("SELECT SUM(hash(resident_id)) AS s FROM visits", "query.not-allowed"),
    "list": ("SELECT COUNT([cost, 1]) AS s FROM visits", "query.not-allowed"),
    "struct": ("SELECT COUNT({'a': cost}) AS s FROM visits", "query.not-allowed"),
    "index": ("SELECT COUNT(cost[1]) AS s FROM visits", "query.not-allowed"),
    "collation": ("SELECT COUNT(*) AS n FROM visits WHERE district COLLATE nocase = 'a'", "query.not-allowed"),
    "parameter": ("SELECT COUNT(*) AS n FROM visits WHERE cost > ?", "query.not-allowed"),
    "computed pattern": ("SELECT COUNT(*) AS n FROM visits WHERE district LIKE resident_id", "query.needs-text"),
    "computed length": ("SELECT COUNT(left(district, cost)) AS n FROM visits", "query.needs-number"),
    "computed digits": ("SELECT SUM(round(cost, visit_id)) AS s FROM visits", "query.needs-number"),
    "cast to list": ("SELECT COUNT(CAST(cost AS INTEGER[])) AS s FROM visits", "query.cast-type"),
    "cast to struct": ("SELECT COUNT(CAST(cost AS STRUCT(a INT))) AS s FROM visits", "query.cast-type"),
    "cast to json": ("SELECT COUNT(CAST(cost AS JSON)) AS s FROM visits", "query.cast-type"),
    "date unit": ("SELECT COUNT(date_trunc('second', day)) AS s FROM visits", "query.date-unit"),
    "subquery": ("SELECT SUM((SELECT MAX(cost) FROM visits)) AS s FROM visits", "query.not-allowed"),
    "exists": ("SELECT COUNT(*) AS n FROM visits WHERE EXISTS (SELECT 1)", "query.not-allowed"),
    "in subquery": ("SELECT COUNT(*) AS n FROM visits WHERE cost IN (SELECT 1)", "query.not-allowed"),
    # rows instead of a table
    "star": ("SELECT * FROM visits", "query.not-allowed"),
    "from first": ("FROM visits", "query.not-allowed"),
    "table star": ("SELECT visits.*, COUNT(*) AS n FROM visits", "query.unknown-column"),
    "columns": ("SELECT COLUMNS('.*') FROM visits", "query.not-allowed"),
    "distinct rows": ("SELECT DISTINCT resident_id FROM visits", "query.clause"),
    "keys alone": ("SELECT resident_id FROM visits GROUP BY resident_id", "query.no-aggregate"),
    "window": ("SELECT SUM(cost) OVER () AS s FROM visits", "query.not-allowed"),
    "qualify": ("SELECT COUNT(*) AS n FROM visits QUALIFY cost > 1", "query.clause"),
    "list of values": ("SELECT string_agg(resident_id, ',') AS s FROM visits", "query.not-allowed"),
    "array of values": ("SELECT array_agg(resident_id) AS s FROM visits", "query.not-allowed"),
    "any value": ("SELECT any_value(resident_id) AS s FROM visits", "query.not-allowed"),
    "first": ("SELECT first(resident_id) AS s FROM visits", "query.not-allowed"),
    "arg_max": ("SELECT arg_max(resident_id, cost) AS s FROM visits", "query.not-allowed"),
    "mode": ("SELECT mode(resident_id) AS s FROM visits", "query.not-allowed"),
    "quantile": ("SELECT quantile_cont(cost, 0.99) AS s FROM visits", "query.not-allowed"),
    "standard deviation": ("SELECT stddev(cost) AS s FROM visits", "query.not-allowed"),
    "sum of an order": ("SELECT SUM(cost ORDER BY day) AS s FROM visits", "query.not-allowed"),
    "sum of distinct": ("SELECT SUM(DISTINCT cost) AS s FROM visits", "query.aggregate-form"),
    "filter": ("SELECT COUNT(*) FILTER (WHERE resident_id = 'x') AS n FROM visits", "query.not-allowed"),
    "arithmetic on aggregates": ("SELECT SUM(cost) - MAX(cost) AS s FROM visits", "query.not-allowed"),
    # a choice that tells
    "having": ("SELECT district, COUNT(*) AS n FROM visits GROUP BY district HAVING COUNT(*) = 1", "query.clause"),
    "order": ("SELECT COUNT(*) AS n FROM visits ORDER BY 1", "query.clause"),
    "limit": ("SELECT COUNT(*) AS n FROM visits LIMIT 1", "query.clause"),
    "offset": ("SELECT COUNT(*) AS n FROM visits OFFSET 1", "query.clause"),
    "rollup": ("SELECT district, COUNT(*) AS n FROM visits GROUP BY ROLLUP (district)", "query.not-allowed"),
    "cube": ("SELECT district, COUNT(*) AS n FROM visits GROUP BY CUBE (district)", "query.not-allowed"),
    "grouping sets": ("SELECT COUNT(*) AS n FROM visits GROUP BY GROUPING SETS ((district), ())", "query.not-allowed"),
    "group by all": ("SELECT district, COUNT(*) AS n FROM visits GROUP BY ALL", "query.clause"),
    "group by something else": ("SELECT district, COUNT(*) AS n FROM visits GROUP BY day", "query.group-by"),
    "group by forgotten": ("SELECT district, COUNT(*) AS n FROM visits", "query.group-by"),
    "hidden key": ("SELECT COUNT(*) AS n FROM visits GROUP BY resident_id", "query.group-by"),
    "constant key": ("SELECT 'x' AS k, COUNT(*) AS n FROM visits GROUP BY 1", "query.constant-key"),
    "with": ("WITH x AS (SELECT 1) SELECT COUNT(*) AS n FROM x", "query.clause"),
    "into": ("SELECT COUNT(*) INTO x FROM visits", "query.clause"),
    "lock": ("SELECT COUNT(*) AS n FROM visits FOR UPDATE", "query.clause"),
    # joins that blur whom a row is about
    "comma": ("SELECT COUNT(*) AS n FROM visits, residents", "query.join-equality"),
    "cross": ("SELECT COUNT(*) AS n FROM visits CROSS JOIN residents", "query.join-kind"),
    "full": (
        "SELECT COUNT(*) AS n FROM visits v FULL JOIN residents r ON v.resident_id = r.resident_id",
        "query.join-kind",
    ),
    "right": (
        "SELECT COUNT(*) AS n FROM visits v RIGHT JOIN residents r ON v.resident_id = r.resident_id",
        "query.join-kind",
    ),
    "natural": ("SELECT COUNT(*) AS n FROM visits NATURAL JOIN residents", "query.join-kind"),
    "asof": (
        "SELECT COUNT(*) AS n FROM visits v ASOF JOIN residents r ON v.resident_id = r.resident_id",
        "query.join-kind",
    ),
    "semi": (
        "SELECT COUNT(*) AS n FROM visits v SEMI JOIN residents r ON v.resident_id = r.resident_id",
        "query.join-kind",
    ),
    "inequality": (
        "SELECT COUNT(*) AS n FROM visits v JOIN residents r ON v.cost > r.birth_year",
        "query.join-equality",
    ),
    "or": (
        "SELECT COUNT(*) AS n FROM visits v JOIN residents r ON v.cost = r.birth_year OR TRUE",
        "query.join-equality",
    ),
    "one side": ("SELECT COUNT(*) AS n FROM visits v JOIN residents r ON v.cost = v.visit_id", "query.unknown-column"),
    "computed": (
        "SELECT COUNT(*) AS n FROM visits v JOIN residents r ON v.cost = r.birth_year + 1",
        "query.join-equality",
    ),
    "lateral": ("SELECT COUNT(*) AS n FROM visits, LATERAL (SELECT 1)", "query.not-a-table"),
    "nested": ("SELECT COUNT(*) AS n FROM (SELECT * FROM visits)", "query.not-a-table"),
    # names and literals that deceive
    "unicode quotes": ("SELECT SUM(“cost”) AS s FROM visits", "query.unknown-column"),
    "full-width quote": ("SELECT COUNT(*) AS n FROM visits WHERE district = ＇a＇", "query.unknown-column"),
    "look-alike column": ("SELECT SUM(\u0441ost) AS s FROM visits", "query.unknown-column"),
    "quote in alias": ('SELECT SUM(cost) AS "a"";DROP" FROM visits', "query.bad-name"),
    "newline in alias": ('SELECT SUM(cost) AS "a\nb" FROM visits', "query.bad-name"),
    "formula as name": ('SELECT SUM(cost) AS "=1+1" FROM visits', "query.bad-name"),
    "no name": ("SELECT SUM(cost) FROM visits", "query.needs-name"),
    "name twice": ("SELECT SUM(cost) AS a, COUNT(*) AS A FROM visits", "query.column-twice"),
    "alias twice": (
        "SELECT COUNT(*) AS n FROM visits v JOIN residents V ON v.resident_id = V.resident_id",
        "query.alias-twice",
    ),
    "ambiguous": (
        "SELECT district, COUNT(*) AS n FROM visits v JOIN residents r ON v.resident_id = r.resident_id GROUP BY district",
        "query.ambiguous-column",
    ),
    "column aliases": ("SELECT SUM(a) AS s FROM visits AS x(a, b)", "query.bad-name"),
    "long text": (f"SELECT COUNT(*) AS n FROM visits WHERE district = '{'x' * 1001}'", "query.long-text"),
    "long number": (f"SELECT SUM(cost * {'9' * 39}) AS s FROM visits", "query.bad-number"),
    # size
    "deep not": (f"SELECT COUNT(*) AS n FROM visits WHERE {'NOT ' * 5000} TRUE", "query.too-deep"),
    "deep parentheses": (f"SELECT SUM({'(' * 3000}cost{')' * 3000}) AS s FROM visits", "query.too-deep"),
    "deep sum": (f"SELECT SUM({BIG}) AS s FROM visits", "query.too-deep"),
    "long": (f"SELECT COUNT(*) AS n FROM visits {' ' * 70000}", "query.too-large"),
}


@pytest.fixture(autouse=True)
def _quiet_parser(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="sqlglot")


@pytest.mark.parametrize(("sql", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_line_and_reason(sql: str, code: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        parse_query(sql, INPUTS, {})
    assert refusal.value.code == code
    assert int(refusal.value.params["line"]) >= 1
    for language in Language:
        assert "{" not in explain(refusal.value, language).what


@pytest.mark.parametrize(
    "name", ["read_csv", "path as table", "getenv", "stacked", "subquery", "attach", "window", "limit"]
)
def test_a_step_is_held_to_the_same_language(name: str) -> None:
    sql, _ = REFUSED[name]
    with pytest.raises(DefinitionError) as refusal:
        parse_query("SELECT COUNT(*) AS n FROM s", INPUTS, {"s": sql})
    assert refusal.value.params["place"] == "step s"


@pytest.mark.parametrize(
    "name", ["read_csv", "path as table", "getenv", "stacked", "subquery", "attach", "star", "lambda"]
)
def test_features_are_held_to_the_same_language(name: str) -> None:
    with pytest.raises(DefinitionError):
        parse_rows(REFUSED[name][0], INPUTS, {})


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ({"s": "SELECT cost FROM later", "later": "SELECT cost FROM visits"}, "query.unknown-table"),
        ({"s": "SELECT cost FROM s"}, "query.unknown-table"),
        ({"visits": "SELECT cost FROM residents"}, "query.bad-name"),
        ({"Visits": "SELECT cost FROM residents"}, "query.bad-name"),
        ({"a.csv": "SELECT cost FROM visits"}, "query.bad-name"),
        ({"s": "SELECT district, COUNT(*) AS n FROM visits GROUP BY district"}, "query.clause"),
        ({"s": "SELECT COUNT(*) AS n FROM visits"}, "query.not-allowed"),
        ({"s": "SELECT *, cost FROM visits"}, "query.column-twice"),
        ({f"s{n}": "SELECT cost FROM visits" for n in range(51)}, "query.too-large"),
    ],
    ids=[
        "later step",
        "itself",
        "hides an input",
        "hides in other case",
        "path",
        "group",
        "aggregate",
        "twice",
        "many",
    ],
)
def test_steps_do_not_escape(steps: dict[str, str], code: str) -> None:
    with pytest.raises(DefinitionError) as refusal:
        parse_query("SELECT COUNT(*) AS n FROM visits", INPUTS, steps)
    assert refusal.value.code == code


def test_steps_that_double_stop_early() -> None:
    steps = {"s0": "SELECT visit_id FROM visits"}
    for number in range(1, 10):
        steps[f"s{number}"] = f"SELECT a.visit_id FROM s{number - 1} a JOIN s{number - 1} b ON a.visit_id = b.visit_id"
    with pytest.raises(DefinitionError) as refusal:
        parse_query("SELECT COUNT(*) AS n FROM s9", INPUTS, steps)
    assert refusal.value.code == "query.too-large"


def test_a_doubled_expression_keeps_the_text_short() -> None:
    steps = {"s0": "SELECT district AS x FROM visits"}
    for number in range(1, 40):
        steps[f"s{number}"] = f"SELECT x || x AS x FROM s{number - 1}"
    query = parse_query("SELECT COUNT(x) AS n FROM s39", INPUTS, steps)
    assert len(query.canonical) < 2000


@pytest.mark.parametrize(
    "text", ["it's", "'; DROP TABLE visits; --", '"', "\\", "\\'", "$$", "/* */", "\n", "𝒳", "''''", "{0}", "%s"]
)
def test_a_literal_stays_a_literal(text: str) -> None:
    import duckdb

    escaped = text.replace("'", "''")
    query = parse_query(f"SELECT COUNT(*) AS n FROM visits WHERE district = '{escaped}'", INPUTS, {})
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE visits (visit_id INT, resident_id TEXT, district TEXT, cost INT, day DATE)")
        connection.execute("INSERT INTO visits VALUES (1, 'p', ?, 1, NULL), (2, 'q', 'other', 1, NULL)", [text])
        assert connection.execute(query.source).fetchall() == [(1, "p", text, 1, None)]


def test_doubling_a_text_step_by_step_exhausts_nothing() -> None:
    """Memory that only chosen rows would need answers a question about them; a joined text is cut instead."""
    import duckdb

    steps = {"t0": f"SELECT CASE WHEN district = 'a' THEN '{'x' * 900}' ELSE '' END AS t FROM visits"}
    steps |= {f"t{number}": f"SELECT t || t AS t FROM t{number - 1}" for number in range(1, 24)}
    query = parse_query("SELECT COUNT(*) AS n, MAX(length(t)) AS longest FROM t23", {"visits": ("district",)}, steps)
    connection = duckdb.connect(config={"memory_limit": "200MB", "temp_directory": ""})
    connection.execute(
        "CREATE TABLE visits AS SELECT CASE WHEN range < 3 THEN 'a' ELSE 'b' END AS district FROM range(10)"
    )
    prepare(connection)
    (longest,) = connection.execute(
        f"SELECT {query.aggregates[1].argument} FROM ({query.source}) ORDER BY 1 DESC"
    ).fetchone()
    assert longest == 4096
