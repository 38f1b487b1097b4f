"""Named attacks on desensitization: a leak, the same leak in a disguise, and an innocent twin that must pass."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.hashes import SM3, Hash

from desensitize.entities import Entity, long_resident_id
from desensitize.policy import plan
from desensitize.pseudonym import ScenarioKeys, tokens
from desensitize.rowfilter import parse_filter
from lineage.errors import DefinitionError, GateRefusedError, NotPermittedError
from sandbox.columns import Column, Grade, Role
from sandbox.grants import Zone
from tests.fixtures_desensitize import RESIDENTS, Row, residents


if TYPE_CHECKING:
    from tests.fixtures_desensitize import Town

PEOPLE = residents(1200, seed=5)
VICTIM = next(row["resident_id"] for row in PEOPLE if row["resident_id"].isdecimal())
COLUMNS = ["resident_id", "district", "wage", "residentName"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("district IN (SELECT district FROM other)", id="a subquery in a list"),
        pytest.param("EXISTS (SELECT 1 FROM other)", id="a subquery that exists"),
        pytest.param("wage > (SELECT avg(wage) FROM other)", id="a scalar subquery"),
        pytest.param("district = 'a' -- AND wage < 5", id="the rest commented out"),
        pytest.param("district = 'a' /* */ OR 1 = 1", id="a block comment"),
        pytest.param("district = 'a'; DROP TABLE raw", id="a second statement"),
        pytest.param("1 = 1 UNION SELECT * FROM other", id="a union"),
        pytest.param("1 = 1 GROUP BY district", id="a clause behind the condition"),
        pytest.param("1 = 1 LIMIT 1", id="a limit that picks one row"),
        pytest.param("reflect('java.lang.Runtime', 'exit', 0) = ''", id="a call into Java"),
        pytest.param("java_method('java.lang.System', 'getenv') = ''", id="a call into Java by another name"),
        pytest.param("upper(district) = 'A'", id="a harmless function"),
        pytest.param("my_udf(district)", id="a user function"),
        pytest.param("raise_error(district) IS NULL", id="an error that quotes a cell"),
        pytest.param("rand() < 0.5", id="chance"),
        pytest.param("district = current_user", id="a variable of the session"),
        pytest.param("district = current_user()", id="a function of the session"),
        pytest.param("CAST(district AS INT) = 1", id="a cast that can fail by value"),
        pytest.param("1 / wage > 0", id="a division that can fail by value"),
        pytest.param("resident_id = '110105194912310021'", id="one person by number"),
        pytest.param("raw.district = 'a'", id="another table's column"),
        pytest.param("secret = 'a'", id="a column that may not be filtered on"),
        pytest.param("_metadata.file_path = 'a'", id="a hidden column of the engine"),
        pytest.param("district = 'a\\' OR 1=1 --'", id="a backslash that hides a quote"),
        pytest.param("district = $$a$$ OR $1", id="a parameter"),
        pytest.param("CASE WHEN wage > 5 THEN TRUE END", id="a case"),
        pytest.param("district LIKE 'a' ESCAPE 'b'", id="an escape character"),
        pytest.param("district RLIKE '(a+)+$'", id="a regular expression that never ends"),
        pytest.param("wage IN (1, (SELECT 2))", id="a subquery inside a list of constants"),
        pytest.param("district COLLATE nocase = 'a'", id="a collation"),
        pytest.param("[district] = ['a']", id="a list"),
        pytest.param("wage BETWEEN SYMMETRIC 2 AND 1", id="a word that turns the meaning"),
        pytest.param("wage IN (SELECT wage)", id="a list that is a query"),
        pytest.param("*", id="all columns"),
        pytest.param("", id="nothing"),
        pytest.param("(" * 60 + "TRUE" + ")" * 60, id="too deep"),
        pytest.param("wage > 1 OR " * 400 + "TRUE", id="too long"),
    ],
)
def test_a_row_filter_that_is_more_than_a_condition_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"desensitize\.filter"):
        parse_filter(text, ["district", "wage"])


@pytest.mark.parametrize(
    "text",
    [
        "district = 'a' AND wage > 5",
        "district IN ('a', 'b') OR NOT wage BETWEEN 1 AND 2",
        "district IS NOT NULL AND (wage <= -1.5 OR district LIKE '南%')",
        "district = 'select from other'",
        "DISTRICT <> 'it''s'",
        "wage = DATE '2024-01-01'",
    ],
)
def test_the_innocent_twin_of_a_row_filter_passes(text: str) -> None:
    assert parse_filter(text, ["district", "wage"]).text


def sm3(data: bytes) -> str:
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize().hex()


def test_no_unkeyed_digest_of_a_number_matches_its_token() -> None:
    keys = ScenarioKeys.derive(bytes(range(32)), tenant="T", scenario="S")
    token = str(tokens(pa.array([VICTIM]), Entity.RESIDENT_ID, keys)[0].as_py())
    spellings = [VICTIM, VICTIM.lower(), f"{VICTIM}\n", f" {VICTIM}", f"S{VICTIM}", f"T|S|{VICTIM}"]
    guesses = {sm3(spelling.encode(code)) for spelling in spellings for code in ("utf-8", "utf-16-le", "gb18030")}
    for name in ("md5", "sha1", "sha224", "sha256", "sha512", "sha3_256", "blake2b", "blake2s"):
        guesses |= {hashlib.new(name, spelling.encode()).hexdigest() for spelling in spellings}
    assert not any(guess[:32] == token or guess[-32:] == token or token in guess for guess in guesses)
    assert token not in {VICTIM.encode().hex(), base64.b64encode(VICTIM.encode()).decode()}
    assert token == str(tokens(pa.array([VICTIM.lower()]), Entity.RESIDENT_ID, keys)[0].as_py())


@pytest.mark.parametrize("zone", list(Zone))
def test_a_column_that_is_asked_for_by_a_name_alike_is_refused(zone: Zone) -> None:
    for name in ("Resident_ID", "resident_id ", "`resident_id`", "r.resident_id", "*"):
        with pytest.raises(NotPermittedError, match="column-ungraded"):
            plan(RESIDENTS, [name], zone, "resident_id")


@pytest.mark.parametrize("name", ["a.b", "a`b", "a b", "", "a;b", "a'b", "*)--", "a\nb"])
def test_a_column_name_cannot_carry_code(name: str) -> None:
    with pytest.raises(ValueError, match="column name"):
        Column(name, "string", Role.PLAIN, Grade.OPEN, closed=False)


HIDDEN = f"{VICTIM[:6]} {VICTIM[6:14]} {VICTIM[14:]}"
WIDE = VICTIM.translate({ord(c): ord(c) + 0xFEE0 for c in "0123456789X"})


@pytest.mark.spark
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(VICTIM, id="in clear"),
        pytest.param(f"患者{VICTIM}来院", id="inside Chinese"),
        pytest.param(f"见{HIDDEN}", id="split by blanks"),
        pytest.param(WIDE, id="full-width"),
    ],
)
def test_an_identifier_in_a_column_declared_plain_stops_the_view(town: Town, text: str) -> None:
    raw = town.raw([{**row, "note": text} for row in PEOPLE], RESIDENTS)
    with pytest.raises(GateRefusedError) as refused:
        town.provision(raw, RESIDENTS, Zone.VIEW)
    assert refused.value.params == {"column": "note"}
    assert not list(town.folder.glob("*out-*"))


@pytest.mark.spark
def test_an_identifier_in_free_text_is_dropped_with_it_and_the_twin_passes(town: Town) -> None:
    rows = [{**row, "remark": f"患者{VICTIM}来院", "note": "编号110105194912310021"} for row in PEOPLE]
    _, view = town.provision(town.raw(rows, RESIDENTS), RESIDENTS, Zone.VIEW)
    assert {row["remark"] for row in view} == {None}
    assert VICTIM not in str(view)


def person(i: int, district: str, sex: str = "男") -> Row:
    number = long_resident_id(f"220102{60 + i // 1000:02d}{1 + i % 12:02d}{1 + i % 28:02d}{i % 1000:03d}")
    return {
        "resident_id": number,
        "name": f"李{i}",
        "birth_date": date(1960, 1, 1),
        "sex": sex,
        "district": district,
        "income": 1.0,
        "remark": "",
        "note": "甲",
    }


CROWD = [person(i, "220102") for i in range(600)]


@pytest.mark.spark
@pytest.mark.parametrize(
    ("rare", "shown"),
    [
        pytest.param([person(900, "220999")] * 500, False, id="one person with five hundred rows"),
        pytest.param([person(900 + i % 9, "220999") for i in range(500)], False, id="nine people with many rows"),
        pytest.param(
            [person(900, "220999") | {"resident_id": n} for n in (person(900, "")["resident_id"],) * 20],
            False,
            id="twenty rows",
        ),
        pytest.param(
            [
                {**person(900, "220999"), "resident_id": spelling}
                for spelling in ("{}", " {}", "{} ", "\t{}", "\u3000{}")
                for _ in range(4)
            ],
            False,
            id="one person in many spellings",
        ),
        pytest.param([person(900 + i, "220999") for i in range(10)], True, id="ten people, the innocent twin"),
    ],
)
def test_a_rare_district_is_shown_only_for_enough_people(town: Town, rare: list[Row], shown: bool) -> None:
    spelled = [{**row, "resident_id": row["resident_id"].format(person(900, "")["resident_id"])} for row in rare]
    # Columns that are one value for all leave the district as the only thing that tells people apart.
    raw = town.raw(CROWD + spelled, RESIDENTS)
    record, view = town.provision(raw, RESIDENTS, Zone.VIEW, ["resident_id", "district"], k=10)
    assert record.risk is not None
    assert record.risk.smallest_class >= 10
    assert (record.risk.classes == 2) is shown
    assert shown or "220999" not in {row["district"] for row in view}
    assert record.risk.suppressed_rows == (0 if shown else len(rare))


@pytest.mark.spark
def test_a_null_district_is_a_class_of_its_own(town: Town) -> None:
    hidden: list[dict[str, Any]] = [{**person(900, ""), "district": None}]
    record, view = town.provision(
        town.raw(CROWD + hidden, RESIDENTS), RESIDENTS, Zone.VIEW, ["resident_id", "district"]
    )
    assert record.risk is not None
    assert record.risk.suppressed_rows == 1
    assert {row["district"] for row in view} == {"220102"}


@pytest.mark.spark
def test_the_order_of_raw_does_not_show(town: Town) -> None:
    outs = []
    for rows in (PEOPLE, PEOPLE[::-1]):
        _, view = town.provision(town.raw(rows, RESIDENTS), RESIDENTS, Zone.INPUT)
        outs.append(view)
    assert outs[0] == outs[1]
