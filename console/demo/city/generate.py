"""The whole city in one call: files as providers deliver them, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import numpy as np

from console.demo.city import dirt as dirty
from console.demo.city import vocabulary as words
from console.demo.city.dirt import Columns, Dirt, Fault, Spoiler
from console.demo.city.draw import Ints, stream
from console.demo.city.files import decimal_text, write_csv, write_json_lines, write_parquet
from console.demo.city.health import ILLNESSES, Visits, clinic_names, make_visits
from console.demo.city.people import People, make_people
from console.demo.city.work import MONTHS, Companies, Payments, make_companies, make_payments


DIRTY_SHARE = 0.01
CORRECTED_SHARE = 0.005
VISIT_FAULTS: Mapping[Fault, Spoiler] = {
    Fault.BAD_CITIZEN_NUMBER: ("resident_id", dirty.wrong_last),
    Fault.IMPOSSIBLE_DATE: ("visit_date", dirty.no_such_day),
    Fault.NEGATIVE_NUMBER: ("cost", dirty.below_zero),
    Fault.TEXT_IN_NUMBER: ("days", dirty.about),
    Fault.MISSING_KEY: ("resident_id", dirty.nothing),
}
PAYMENT_FAULTS: Mapping[Fault, Spoiler] = {
    Fault.BAD_CREDIT_CODE: ("uscc", dirty.wrong_last),
    Fault.IMPOSSIBLE_DATE: ("month", dirty.no_such_day),
    Fault.TEXT_IN_NUMBER: ("paid", dirty.about),
    Fault.MISSING_KEY: ("resident_id", dirty.nothing),
}


@dataclass(frozen=True)
class Delivery:
    """One file: where it is, how many data rows it has, and how many of them have which fault."""

    path: Path
    rows: int
    faults: Mapping[Fault, int]

    @property
    def dirty(self) -> int:
        """Rows with a fault; each has exactly one."""
        return sum(self.faults.values())

    @property
    def clean(self) -> int:
        """Rows without a fault."""
        return self.rows - self.dirty


@dataclass(frozen=True)
class City:
    """The files of a city and the true totals of their clean rows.

    Attributes:
        residents: ``residents.parquet`` (social.residents), without faults.
        visits: ``visits.csv`` (health.visits).
        visits_v2: ``visits_v2.csv``, the same table a day later: every row of the first file, some corrected, and later ones.
        payments: ``payments.jsonl`` (social.payments).
        companies: ``companies.csv`` in GB 18030 (market.companies), without faults.
        residents_by_district: residents of each district's code.
        visit_cost: sum of ``cost`` over the clean rows of ``visits``, yuan.
        readmissions: sum of ``readmitted`` over the clean rows of ``visits``.
        paid: sum of ``paid`` over the clean rows of ``payments``, yuan.
        visits_corrected: rows of ``visits`` that ``visits_v2`` changes.
        visits_added: rows that only ``visits_v2`` has.
    """

    residents: Delivery
    visits: Delivery
    visits_v2: Delivery
    payments: Delivery
    companies: Delivery
    residents_by_district: Mapping[str, int]
    visit_cost: Decimal
    readmissions: int
    paid: Decimal
    visits_corrected: int
    visits_added: int


def generate(folder: Path, residents: int = 50_000, seed: int = 7) -> City:
    """Write the files of a made-up city; the same numbers give the same bytes.

    Args:
        folder: where the files go; made when it is not there.
        residents: how many people live there, at least 100. Time and size grow in proportion (50,000: about 4 seconds).
        seed: another seed is another city.

    Raises:
        ValueError: fewer than 100 residents.
    """
    people = make_people(seed, residents)
    companies = make_companies(seed, people)
    folder.mkdir(parents=True, exist_ok=True)
    by_district = np.bincount(people.district, minlength=len(words.DISTRICTS)).tolist()
    deliveries = _Visits(seed, people, *make_visits(seed, people))
    payments = make_payments(seed, people, companies)
    payment_dirt = dirty.spread(stream(seed, "payment dirt"), tuple(PAYMENT_FAULTS), payments.person.size, DIRTY_SHARE)
    return City(
        residents=_write_residents(folder, people),
        visits=deliveries.write_first(folder),
        visits_v2=deliveries.write_second(folder),
        payments=_write_payments(folder, people, companies, payments, payment_dirt),
        companies=_write_companies(folder, people, companies),
        residents_by_district=MappingProxyType(
            {district.code: count for district, count in zip(words.DISTRICTS, by_district, strict=True)}
        ),
        visit_cost=_yuan(deliveries.first.cost[deliveries.first_dirt.clean]),
        readmissions=int(deliveries.first.readmitted[deliveries.first_dirt.clean].sum()),
        paid=_yuan(payments.paid[payment_dirt.clean]),
        visits_corrected=deliveries.corrected,
        visits_added=deliveries.late.count,
    )


def _yuan(fen: Ints) -> Decimal:
    return Decimal(int(fen.sum())).scaleb(-2)


def _delivery(path: Path, dirt: Dirt) -> Delivery:
    return Delivery(path, dirt.fault.size, MappingProxyType(dict(dirt.counts)))


def _clean_delivery(path: Path, rows: int) -> Delivery:
    return Delivery(path, rows, MappingProxyType({}))


class _Visits:
    """The two deliveries of visits: the second holds the first with corrections, then what came late."""

    def __init__(self, seed: int, people: People, first: Visits, late: Visits) -> None:
        rng = stream(seed, "visit dirt")
        kinds = tuple(VISIT_FAULTS)
        self.people, self.first, self.late = people, first, late
        self.first_dirt = dirty.spread(rng, kinds, first.count, DIRTY_SHARE)
        self.late_dirt = dirty.spread(rng, kinds, late.count, DIRTY_SHARE)
        # Half of the faults are mended, and some clean rows get another cost.
        mended = ~self.first_dirt.clean & (rng.random(first.count) < 0.5)
        recosted = self.first_dirt.clean & (rng.random(first.count) < CORRECTED_SHARE)
        self.corrected = int(mended.sum() + recosted.sum())
        self.second = first.with_cost(np.where(recosted, first.cost + 1050, first.cost))
        self.second_dirt = Dirt(kinds, np.where(mended, -1, self.first_dirt.fault))

    def write_first(self, folder: Path) -> Delivery:
        """Write ``visits.csv``."""
        columns = dirty.spoil(self._columns(self.first, 1), self.first_dirt, VISIT_FAULTS)
        write_csv(folder / "visits.csv", columns)
        return _delivery(folder / "visits.csv", self.first_dirt)

    def write_second(self, folder: Path) -> Delivery:
        """Write ``visits_v2.csv``."""
        old, new = self._columns(self.second, 1), self._columns(self.late, self.first.count + 1)
        dirt = self.second_dirt.then(self.late_dirt)
        columns = {name: np.concatenate([old[name], new[name]]) for name in old}
        write_csv(folder / "visits_v2.csv", dirty.spoil(columns, dirt, VISIT_FAULTS))
        return _delivery(folder / "visits_v2.csv", dirt)

    def _columns(self, visits: Visits, first_number: int) -> Columns:
        numbers = np.arange(first_number, first_number + visits.count)
        return {
            "visit_id": np.strings.add("V", np.strings.zfill(numbers.astype(np.str_), 9)),
            "resident_id": self.people.resident_id[visits.person],
            "clinic": np.array(clinic_names())[visits.clinic],
            "department": np.array([illness.department for illness in ILLNESSES])[visits.diagnosis],
            "diagnosis": np.array([illness.code for illness in ILLNESSES])[visits.diagnosis],
            "visit_date": visits.date.astype(np.str_),
            "days": visits.days.astype(np.str_),
            "cost": decimal_text(visits.cost),
            "readmitted": visits.readmitted.astype(np.str_),
        }


def _write_residents(folder: Path, people: People) -> Delivery:
    columns = {
        "resident_id": people.resident_id,
        "name": people.name,
        "mobile": people.mobile.astype(np.str_),
        "sex": np.where(people.male, "男", "女"),
        "birth_date": people.birth_date,
        "address": people.address,
        "district": np.array([district.code for district in words.DISTRICTS])[people.district],
        "household_id": np.strings.add("H", np.strings.zfill(people.household.astype(np.str_), 8)),
        "education": np.array(words.EDUCATION)[people.education],
        "occupation": np.array(words.CALLINGS)[people.calling],
        "ethnicity": np.array([name for name, _ in words.ETHNICITIES])[people.ethnicity],
        "marital": np.array(words.MARITAL)[people.marital],
    }
    write_parquet(folder / "residents.parquet", columns)
    return _clean_delivery(folder / "residents.parquet", people.count)


def _write_companies(folder: Path, people: People, companies: Companies) -> Delivery:
    columns = {
        "uscc": companies.uscc,
        "name": companies.name,
        "industry": np.array([name for name, _ in words.INDUSTRIES])[companies.industry],
        "district": np.array([district.code for district in words.DISTRICTS])[companies.district],
        "registered_capital": decimal_text(companies.capital * 100),
        "legal_person_id": people.resident_id[companies.legal_person],
    }
    write_csv(folder / "companies.csv", columns, encoding="gb18030")
    return _clean_delivery(folder / "companies.csv", companies.uscc.size)


def _write_payments(folder: Path, people: People, companies: Companies, payments: Payments, dirt: Dirt) -> Delivery:
    columns = {
        "resident_id": people.resident_id[payments.person],
        "uscc": companies.uscc[payments.company],
        "month": np.array(MONTHS)[payments.month],
        "base": decimal_text(payments.base),
        "paid": decimal_text(payments.paid),
    }
    spoiled = dirty.spoil(columns, dirt, PAYMENT_FAULTS)
    write_json_lines(folder / "payments.jsonl", spoiled, numbers={"base", "paid"})
    return _delivery(folder / "payments.jsonl", dirt)
