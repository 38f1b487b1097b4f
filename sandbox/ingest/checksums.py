"""Check characters of the two national identifiers, in plain Python: the reference that the Spark expressions are held to."""

from __future__ import annotations

import re
from datetime import date


ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
"""2^(17-i) mod 11 for digit i = 0 … 16 (GB 11643-1999, ISO 7064 MOD 11-2)."""

ID_CHECKS = "10X98765432"
"""Check character for each remainder of the weighted sum by 11 (GB 11643-1999)."""

CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of the unified social credit code, in order of value: no I, O, S, V, Z (GB 32100-2015)."""

CREDIT_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
"""3^i mod 31 for character i = 0 … 16 (GB 32100-2015)."""

RESIDENT_ID = r"[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]"
"""Form of a citizen's identity number: division code, date of birth, sequence, check character."""

CREDIT_CODE = rf"[{CREDIT_ALPHABET}]{{2}}[0-9]{{6}}[{CREDIT_ALPHABET}]{{10}}"
"""Form of a unified social credit code: department and kind, division code, organization, check character."""

MOBILE = r"1[3-9][0-9]{9}"
"""Form of a mobile number of the mainland."""


def resident_id_check(body: str) -> str:
    """Give the check character of the first 17 digits (GB 11643-1999)."""
    total = sum(int(digit) * weight for digit, weight in zip(body, ID_WEIGHTS, strict=True))
    return ID_CHECKS[total % 11]


def credit_code_check(body: str) -> str:
    """Give the check character of the first 17 characters (GB 32100-2015)."""
    total = sum(CREDIT_ALPHABET.index(letter) * weight for letter, weight in zip(body, CREDIT_WEIGHTS, strict=True))
    return CREDIT_ALPHABET[-total % 31]


def is_resident_id(text: str, as_of: date) -> bool:
    """Tell whether the text is a well-formed identity number: its check character fits and its date of birth is a day up to ``as_of``."""
    if not re.fullmatch(RESIDENT_ID, text):
        return False
    try:
        born = date.fromisoformat(f"{text[6:10]}-{text[10:12]}-{text[12:14]}")
    except ValueError:
        return False
    return born <= as_of and resident_id_check(text[:17]) == text[17]


def is_credit_code(text: str) -> bool:
    """Tell whether the text is a well-formed unified social credit code whose check character fits."""
    return bool(re.fullmatch(CREDIT_CODE, text)) and credit_code_check(text[:17]) == text[17]
