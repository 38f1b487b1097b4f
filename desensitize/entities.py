"""What a value is, and the one spelling in which equal things are equal.

Tokens are computed over the canonical spelling, otherwise joins break without a word: the same person is written with a small x,
with full-width digits or with the 15-digit number of before 1999.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa


class Entity(StrEnum):
    """Kinds of values that are recognised; stored data, so a value never changes its text."""

    RESIDENT_ID = "resident_id"
    CREDIT_CODE = "credit_code"
    MOBILE = "mobile"
    LANDLINE = "landline"
    BANK_CARD = "bank_card"
    PASSPORT = "passport"
    PLATE = "plate"
    EMAIL = "email"
    IP_ADDRESS = "ip_address"
    NAME = "name"
    COMPANY_NAME = "company_name"
    LOCAL_NUMBER = "local_number"
    ADDRESS = "address"
    COORDINATE = "coordinate"
    REGION = "region"
    POSTCODE = "postcode"
    BIRTH_DATE = "birth_date"
    AGE = "age"
    SEX = "sex"
    ETHNICITY = "ethnicity"
    EDUCATION = "education"
    OCCUPATION = "occupation"
    MARITAL = "marital"
    RELIGION = "religion"
    DIAGNOSIS = "diagnosis"
    INCOME = "income"
    REMARK = "remark"
    OTHER = "other"


# ISO 7064 MOD 11-2 as GB 11643-1999 uses it: weights of the first 17 digits and the check characters by remainder.
RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
RESIDENT_CHECKS = "10X98765432"

_MONTH_DAY = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_OLD_RESIDENT_ID = f"^[1-9][0-9]{{7}}{_MONTH_DAY}[0-9]{{3}}$"


def canonical_array(values: pa.Array, entity: Entity) -> pa.Array:
    """Give the canonical spelling of each value; same length, text. What holds no value at all becomes NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Twice: a removed space may bring a letter and a combining mark together, a removed dot may bare a separator.
    text = _plain_form(_SPELLINGS.get(entity, _plain)(_plain_form(values.cast(pa.string()))))
    return pc.if_else(pc.equal(text, ""), None, text)


def canonical(value: str | None, entity: Entity) -> str | None:
    """Give the canonical spelling of one value, as ``canonical_array`` does."""
    import pyarrow as pa

    result: str | None = canonical_array(pa.array([value], pa.string()), entity)[0].as_py()
    return result


def long_resident_id(number: str) -> str:
    """Lengthen a 15-digit resident ID to 18 digits: the century 19 and the check character (GB 11643-1999)."""
    body = f"{number[:6]}19{number[6:]}"
    return body + RESIDENT_CHECKS[sum(w * int(d) for w, d in zip(RESIDENT_WEIGHTS, body, strict=True)) % 11]


def _plain_form(text: Any) -> Any:
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(pc.utf8_normalize(text, "NFKC"))


def _remove(text: Any, pattern: str, replacement: str = "") -> Any:
    import pyarrow.compute as pc

    return pc.replace_substring_regex(text, pattern, replacement)


def _plain(text: Any) -> Any:
    import pyarrow.compute as pc

    return pc.utf8_upper(text)


def _code(text: Any) -> Any:
    return _plain(_remove(text, r"[\s\-]+"))


def _resident_id(text: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _code(text)
    old = pc.fill_null(pc.match_substring_regex(text, _OLD_RESIDENT_ID), fill_value=False)
    if not pc.any(old).as_py():
        return text
    lengthened = [long_resident_id(number) for number in pc.filter(text, old).to_pylist()]
    return pc.replace_with_mask(text, old, pa.array(lengthened, pa.string()))


def _digits(text: Any) -> Any:
    return _remove(text, "[^0-9]+")


def _mobile(text: Any) -> Any:
    return _remove(_digits(text), "^(?:00)?86(1[0-9]{10})$", r"\1")


def _email(text: Any) -> Any:
    import pyarrow.compute as pc

    return pc.utf8_lower(text)


def _plate(text: Any) -> Any:
    return _plain(_remove(text, r"[\s\-·•.]+"))


def _name(text: Any) -> Any:
    return _plain(_remove(_remove(text, r"\s+"), "[•・‧∙.]", "·"))


_SPELLINGS: dict[Entity, Callable[[Any], Any]] = {
    Entity.RESIDENT_ID: _resident_id,
    Entity.CREDIT_CODE: _code,
    Entity.PASSPORT: _code,
    Entity.LOCAL_NUMBER: _code,
    Entity.MOBILE: _mobile,
    Entity.LANDLINE: _digits,
    Entity.BANK_CARD: _digits,
    Entity.EMAIL: _email,
    Entity.PLATE: _plate,
    Entity.NAME: _name,
    Entity.COMPANY_NAME: _name,
}
