"""What people wrote into a chart or report: only characters that everybody sees alike, and what reviewers must know of the words (B2, B11).

The text is fixed at promotion, before the production data was read, so it cannot quote that data; what is looked for here is what
somebody copied from a view, learnt elsewhere, or hid from the reviewers. Names of persons are not looked for: in running Chinese text any
two characters may be one.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from desensitize.entities import Entity
from desensitize.recognizers import RECOGNIZERS, Recognizer
from export_gate.finding import Finding, Verdict
from lineage.errors import DefinitionError


# Latin without look-alikes from other alphabets, Han, and the punctuation of both; so a homoglyph is a character that is not here.
_CHARACTERS = re.compile(
    "[\n -~\u00a7\u00b0-\u00b3\u00b5\u00b7\u00d7\u00df-\u00f6\u00f7-\u00ff\u03b4\u03b5\u03bb\u03c1\u03c3\u2013\u2014"
    "\u2018\u2019\u201c\u201d\u2026\u2030\u2103\u2190-\u2193\u2264\u2265\u3001-\u3003\u3007-\u3011\u3400-\u4dbf\u4e00-\u9fff\uff01-\uff5e\uffe5]"
)
_PERSONAL = {
    Entity.RESIDENT_ID,
    Entity.CREDIT_CODE,
    Entity.MOBILE,
    Entity.BANK_CARD,
    Entity.EMAIL,
    Entity.PASSPORT,
    Entity.PLATE,
    Entity.IP_ADDRESS,
    Entity.LANDLINE,
}
_ALLOWED_DIGITS = re.compile(
    r"(?<![\d.])(?:19|20)\d{2}(?:年(?:(?:1[0-2]|0?[1-9])月)?|(?![\d.,%]))"
    r"|第\d{1,2}[条章节款期季页]|(?<![\w])Q[1-4](?!\w)|[TC]\d{2}(?=类)"
)
_NUMERALS = re.compile("[一二三四五六七八九两][十百千万亿]|[〇零一二三四五六七八九]{3,}")
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_\-]{12,}")
_OPAQUE_CHARACTERS = 24
_SHORTEST_GROUP, _WINDOW, _MOST_OF_THEM = 3, 6, 4
_ENGLISH_BITS = 4.0
_FEWEST_HAN, _RARE_SHARE = 12, 0.2


def check_characters(text: str, place: str) -> str:
    """Give the text with plain spaces only where one is seen.

    Raises:
        DefinitionError: a character that is invisible, looks like another one, or is in no use here.
    """
    for character in text:
        if not _CHARACTERS.fullmatch(character):
            raise DefinitionError("words.strange-character", place=place[:80], character=f"U+{ord(character):04X}")
    return re.sub(" +", " ", text).strip(" ")


def judge_words(texts: Sequence[str]) -> tuple[Finding, ...]:
    """Say what reviewers must know of typed texts: personal data, digits, strings that read like a code, and how much there is.

    The counts are of the text that its author typed, so they may be told.
    """
    return (_personal(texts), _digits(texts), _rare(texts), _amount(texts))


def _personal(texts: Iterable[str]) -> Finding:
    found = {
        recognizer.entity.value
        for recognizer in RECOGNIZERS
        if recognizer.entity in _PERSONAL and any(_holds(recognizer, one) for one in texts)
    }
    if not found:
        return Finding("words.personal", 1, Verdict.NO_ATTACK_SUCCEEDED, "words.no-personal")
    return Finding("words.personal", 1, Verdict.BLOCK, "words.personal", {"kinds": ", ".join(sorted(found))})


def _holds(recognizer: Recognizer, text: str) -> bool:
    import pyarrow as pa

    pattern = _inside(recognizer.entity, recognizer.pattern)
    plain = unicodedata.normalize("NFKC", text)
    cased = plain.lower() if recognizer.entity is Entity.EMAIL else plain.upper()
    # Twice: as it is written, and with what people put between the digits of a number taken out.
    views = (cased, re.sub(r"(?<=\d)[ \-·.,，、]{1,2}(?=[\dX])", "", cased))
    matches = sorted({match for view in views for match in pattern.findall(view)})
    return bool(matches) and (recognizer.check is None or bool(recognizer.check(pa.array(matches)).any()))


@cache
def _inside(entity: Entity, pattern: str) -> re.Pattern[str]:
    edge = "[0-9A-Za-z.]" if entity is Entity.IP_ADDRESS else "[0-9A-Za-z]"
    return re.compile(f"(?<!{edge})({_uncaptured(pattern)})(?!{edge})", re.ASCII)


def _uncaptured(pattern: str) -> str:
    """Take a recognizer's pattern, which has no capturing groups, as one alternative."""
    return f"(?:{pattern})"


def _digits(texts: Iterable[str]) -> Finding:
    typed = 0
    for text in texts:
        plain = _ALLOWED_DIGITS.sub("", unicodedata.normalize("NFKC", text))
        typed += len(re.findall(r"\d+(?:[.,]\d+)*", plain)) + len(_NUMERALS.findall(plain))
    if not typed:
        return Finding("words.digits", 1, Verdict.NO_ATTACK_SUCCEEDED, "words.no-digits")
    return Finding("words.digits", 1, Verdict.REVIEW, "words.digits", {"numbers": typed})


def _rare(texts: Sequence[str]) -> Finding:
    words = [word for text in texts for word in _LONG_WORD.findall(text) if _reads_like_a_code(word)]
    joined = [len(run) for text in texts for run in _opaque_runs(text)]
    if joined:
        return Finding("words.rare", 1, Verdict.BLOCK, "words.code", {"characters": max(joined)})
    strange = sum(_rare_han(text) for text in texts)
    if words or strange:
        return Finding("words.rare", 1, Verdict.REVIEW, "words.rare", {"strings": len(words) + strange})
    return Finding("words.rare", 1, Verdict.NO_ATTACK_SUCCEEDED, "words.nothing-rare")


def _opaque_runs(text: str) -> list[str]:
    """Find stretches of code, also where they were broken over blanks and lines: most of six words in a row are no words."""
    found: list[str] = []
    for stretch in re.findall(r"[A-Za-z0-9+/=_\-]+(?:[ \n]+[A-Za-z0-9+/=_\-]+)*", text):
        words = stretch.split()
        found += [word for word in words if len(word) >= _OPAQUE_CHARACTERS and _reads_like_a_code(word)]
        windows = (words[place : place + _WINDOW] for place in range(len(words)))
        joined = ("".join(one) for one in windows if sum(map(_codelike, one)) >= _MOST_OF_THEM)
        found += [one for one in joined if len(one) >= _OPAQUE_CHARACTERS]
    return found


def _codelike(word: str) -> bool:
    """Whether a word mixes digits or capitals into letters as no word of a language does."""
    letters = word.strip("=-_")
    mixed = bool(re.search(r"\d", letters)) and bool(re.search("[A-Za-z]", letters))
    cased = (
        letters.islower() or letters.isupper() or all(part.istitle() or part.islower() for part in letters.split("-"))
    )
    return len(letters) >= _SHORTEST_GROUP and (
        mixed or "+" in letters or "/" in letters or not (cased or letters.isdigit())
    )


def _reads_like_a_code(word: str) -> bool:
    classes = sum(bool(re.search(kind, word)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return classes >= 2 and (
        _bits_each(word) > _ENGLISH_BITS
        or bool(re.fullmatch("[0-9A-Fa-f]{12,}", word))
        or len(word) >= _OPAQUE_CHARACTERS
    )


def _bits_each(text: str) -> float:
    counts: Mapping[str, int] = {one: text.count(one) for one in set(text)}
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _rare_han(text: str) -> bool:
    """Whether too many characters are outside the 3755 most used ones (GB 2312, level 1): a page of them is bits, not Chinese."""
    han = re.findall("[\u3400-\u9fff]", text)
    rare = sum(not _common(one) for one in han)
    return len(han) >= _FEWEST_HAN and rare / len(han) > _RARE_SHARE


def _common(character: str) -> bool:
    try:
        return character.encode("gb2312")[0] <= 0xD7
    except UnicodeEncodeError:
        return False


def _amount(texts: Iterable[str]) -> Finding:
    whole = "\n".join(texts)
    bits = 8 * len(zlib.compress(whole.encode(), 9))
    params = {"characters": len(whole), "bits": bits}
    return Finding("words.amount", 1, Verdict.NO_ATTACK_SUCCEEDED, "words.amount", params, params)
