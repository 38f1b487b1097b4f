"""The city's files hold what the city says of them, told by readers of other makes than its writers."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from console.demo.city import City, Fault, generate
from console.demo.city.health import SEVERITY, make_visits
from console.demo.city.people import make_people


RESIDENTS = 2000
Row = Mapping[str, str]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return generate(tmp_path_factory.mktemp("city"), RESIDENTS)


def rows_of(path: Path, encoding: str = "utf-8") -> list[Row]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.DictReader(file))


def people_of(city: City) -> list[dict[str, object]]:
    from pyarrow import parquet

    rows: list[dict[str, object]] = parquet.read_table(city.residents.path).to_pylist()
    return rows


def payments_of(city: City) -> list[dict[str, object]]:
    return [
        json.loads(line, parse_float=Decimal) for line in city.payments.path.read_text(encoding="utf-8").splitlines()
    ]


def valid_citizen_number(number: str) -> bool:
    """GB 11643: the weighted sum of all 18 places, X counting ten, is 1 modulo 11."""
    values = [10 if letter == "X" else int(letter) for letter in number]
    return len(values) == 18 and sum(value * pow(2, 17 - place, 11) for place, value in enumerate(values)) % 11 == 1


def valid_credit_code(code: str) -> bool:
    """GB 32100 for the whole, GB 11714 for the organisation inside; weights written out from the standards' tables."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    total = sum(alphabet.index(letter) * weight for letter, weight in zip(code, weights, strict=False))
    inner = sum(int(letter, 36) * weight for letter, weight in zip(code[8:16], (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    check = {10: "X", 11: "0"}.get(11 - inner % 11, str(11 - inner % 11))
    return len(code) == 18 and code[17] == alphabet[(31 - total % 31) % 31] and code[16] == check


def is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


VISIT_FAULTS: Mapping[Fault, Callable[[Row], bool]] = {
    Fault.MISSING_KEY: lambda row: not row["resident_id"],
    Fault.BAD_CITIZEN_NUMBER: lambda row: bool(row["resident_id"]) and not valid_citizen_number(row["resident_id"]),
    Fault.IMPOSSIBLE_DATE: lambda row: not is_date(row["visit_date"]),
    Fault.NEGATIVE_NUMBER: lambda row: row["cost"].startswith("-"),
    Fault.TEXT_IN_NUMBER: lambda row: not row["days"].isdigit(),
}


def faults_of(row: Row) -> list[Fault]:
    return [fault for fault, is_so in VISIT_FAULTS.items() if is_so(row)]


def clean(rows: list[Row]) -> Iterator[Row]:
    return (row for row in rows if not faults_of(row))


@pytest.mark.parametrize("which", ["visits", "visits_v2"])
def test_visits_have_the_stated_rows_and_faults(city: City, which: str) -> None:
    delivery = getattr(city, which)
    rows = rows_of(delivery.path)
    found = [faults_of(row) for row in rows]
    assert len(rows) == delivery.rows == delivery.clean + delivery.dirty
    assert max(len(faults) for faults in found) == 1
    assert Counter(fault for faults in found for fault in faults) == delivery.faults
    assert 0.004 < delivery.dirty / delivery.rows < 0.011
    assert len({row["visit_id"] for row in rows}) == len(rows)


def test_visit_totals_are_those_of_the_clean_rows(city: City) -> None:
    rows = list(clean(rows_of(city.visits.path)))
    assert len(rows) == city.visits.clean
    assert sum(Decimal(row["cost"]) for row in rows) == city.visit_cost
    assert sum(int(row["readmitted"]) for row in rows) == city.readmissions
    assert all(row["cost"][-3] == "." for row in rows)


def test_second_delivery_is_the_first_corrected_and_continued(city: City) -> None:
    first, second = rows_of(city.visits.path), rows_of(city.visits_v2.path)
    changed = [(old, new) for old, new in zip(first, second, strict=False) if old != new]
    assert len(changed) == city.visits_corrected
    assert all(old["visit_id"] == new["visit_id"] for old, new in changed)
    assert all(not faults_of(new) for _, new in changed)
    assert any(faults_of(old) for old, _ in changed)
    assert any(not faults_of(old) for old, _ in changed)
    assert len(second) - len(first) == city.visits_added > 0.02 * len(first)


def test_people_are_consistent(city: City) -> None:
    people = people_of(city)
    assert len(people) == city.residents.rows == RESIDENTS
    for person in people:
        number = str(person["resident_id"])
        assert valid_citizen_number(number)
        assert number[6:14] == f"{person['birth_date']:%Y%m%d}"
        assert (int(number[16]) % 2 == 1) == (person["sex"] == "男")
    for column in ("resident_id", "mobile"):
        assert len({person[column] for person in people}) == len(people)
    for column in ("address", "district"):
        assert len({(person["household_id"], person[column]) for person in people}) == len(
            {person["household_id"] for person in people}
        )


def test_districts_are_skewed_and_one_holds_a_handful(city: City) -> None:
    assert Counter(person["district"] for person in people_of(city)) == city.residents_by_district
    sizes = sorted(city.residents_by_district.values())
    assert len(sizes) == 8
    assert 6 <= sizes[0] <= 8
    assert sizes[-1] > 5 * sizes[2]


def test_payments_are_as_stated(city: City) -> None:
    rows = payments_of(city)
    kinds = Counter[Fault]()
    paid = Decimal(0)
    for row in rows:
        faults = [
            *([Fault.MISSING_KEY] if not row["resident_id"] else []),
            *([Fault.BAD_CREDIT_CODE] if not valid_credit_code(str(row["uscc"])) else []),
            *([Fault.IMPOSSIBLE_DATE] if not is_date(f"{row['month']}-01") else []),
            *([Fault.TEXT_IN_NUMBER] if not isinstance(row["paid"], Decimal) else []),
        ]
        kinds.update(faults)
        if not faults:
            assert isinstance(row["paid"], Decimal)
            paid += row["paid"]
    assert len(rows) == city.payments.rows
    assert kinds == city.payments.faults
    assert paid == city.paid


def test_companies_need_gb18030(city: City) -> None:
    rows = rows_of(city.companies.path, "gb18030")
    assert len(rows) == city.companies.rows
    assert all(valid_credit_code(row["uscc"]) for row in rows)
    with pytest.raises(UnicodeDecodeError):
        city.companies.path.read_text(encoding="utf-8")
    with pytest.raises(UnicodeDecodeError):
        city.companies.path.read_text(encoding="gbk")


def test_tables_join(city: City) -> None:
    people = {person["resident_id"] for person in people_of(city)}
    companies = {row["uscc"]: row for row in rows_of(city.companies.path, "gb18030")}
    assert {row["legal_person_id"] for row in companies.values()} <= people
    assert {row["resident_id"] for row in clean(rows_of(city.visits_v2.path))} <= people
    payments = [row for row in payments_of(city) if row["resident_id"]]
    assert {row["resident_id"] for row in payments} <= people
    assert {row["uscc"] for row in payments if valid_credit_code(str(row["uscc"]))} <= set(companies)


def test_readmission_can_be_learned_but_not_too_well() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    people = make_people(7, 12_000)
    visits, _ = make_visits(7, people)
    features = np.column_stack([people.age[visits.person], visits.days.clip(0, 14), SEVERITY[visits.diagnosis]])
    even = visits.person % 2 == 0
    model = LogisticRegression().fit(features[even], visits.readmitted[even])
    score = roc_auc_score(visits.readmitted[~even], model.predict_proba(features[~even])[:, 1])
    assert 0.70 < score < 0.80


def test_visits_have_heavy_users_and_rare_illnesses() -> None:
    people = make_people(7, 12_000)
    visits, _ = make_visits(7, people)
    each = np.bincount(visits.person, minlength=people.count)
    assert 3.5 < each.mean() < 4.5
    assert each.max() > 40
    assert (each == 0).mean() > 0.2
    with_illness = [np.unique(visits.person[visits.diagnosis == code]).size for code in np.unique(visits.diagnosis)]
    assert min(with_illness) < 5


def test_too_small_a_city_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 100"):
        generate(tmp_path / "none", 99)
    assert not (tmp_path / "none").exists()
