"""Digests of identifiers: an unkeyed hash of something that can be counted through hides nothing (B3).

All resident numbers of a county are hashed in a minute. The gate holds the identifiers, so it makes the digests itself and looks for
their first and last eight bytes in every layer, which finds truncated ones too: plain, doubled, and salted or keyed with any word that
stands in the job. What looks like a digest and is none of these is shown to the reviewers.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from export_gate.finding import Finding, Verdict
from export_gate.rawmatch.decode import Bounds, Decoding
from export_gate.rawmatch.patterns import Identifiers
from export_gate.rawmatch.windows import WINDOW, build, find
from lineage.errors import Param


CHECK, VERSION = "rawmatch.hashes", 1
ALGORITHMS = (
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha3_256",
    "sha3_512",
    "blake2b",
    "blake2s",
    "sm3",
)
SALTED = ("md5", "sha1", "sha256", "sm3")
MOST_HASHES = 4_000_000
MOST_WORDS = 200
_MOST_COMPARED = 1_000_000
_WORD = re.compile(r"[^\s'\"`(),;=\[\]{}<>]{3,64}")
_HEX_RUN = re.compile(rb"(?<![0-9A-Za-z])[0-9A-Fa-f]{16,128}(?![0-9A-Za-z])")
_BASE64_RUN = re.compile(rb"(?<![0-9A-Za-z+/])[0-9A-Za-z+/_-]{20,88}={0,2}(?![0-9A-Za-z+/])")
_BLOCK = 200_000
_KINDS, _CHANGES_PERCENT = 3, 40

Make = Callable[[bytes], bytes]


def match_hashes(
    files: Mapping[str, bytes],
    identifiers: Sequence[Identifiers],
    words: Sequence[str],
    *,
    opaque: bool = False,
    bounds: Bounds | None = None,
) -> Finding:
    """Search files for digests of identifiers.

    Args:
        files: bytes that would leave, by name.
        identifiers: what may have been hashed; tokens are left out.
        words: strings of the job, which may have been salts or keys; see ``words_of``.
        opaque: whether the bytes are a job's own, so that digests need not look like text to be looked for.
        bounds: how far layers are followed.
    """
    decoding = Decoding(bounds or Bounds())
    layers = list(decoding.walk(files))
    texts = [layer.data for layer in layers]
    alike = sorted({run for data in texts[: len(files)] for run in digest_like(data)})
    parameters: dict[str, Param] = {
        "algorithms": ", ".join(ALGORITHMS),
        "salted": ", ".join(SALTED),
        "most_hashes": MOST_HASHES,
    }
    if not alike and not opaque:
        return Finding(CHECK, VERSION, Verdict.NO_ATTACK_SUCCEEDED, "rawmatch.no-digests", {}, parameters, {})
    plain = [value for each in identifiers if each.kind != "token" for value in each.values]
    made, tried = 0, 0
    for name, block in _digests(plain, words):
        if made + len(block) > MOST_HASHES:
            break
        made, tried = made + len(block), tried + 1
        where = _found(block, texts)
        if where is not None:
            path = " > ".join(layers[where].path)
            evidence: dict[str, Param] = {"how": name, "where": path, "hashes": made}
            params: dict[str, Param] = {"files": layers[where].path[0]}
            return Finding(CHECK, VERSION, Verdict.BLOCK, "rawmatch.hash-found", params, parameters, evidence)
    evidence = {"hashes": made, "blocks_tried": tried, "words": len(words), "digest_like": len(alike)}
    verdict = Verdict.REVIEW if alike else Verdict.NO_ATTACK_SUCCEEDED
    reason = "rawmatch.digest-like" if alike else "rawmatch.no-hash"
    if not decoding.complete:
        verdict, reason = Verdict.CANNOT_CHECK, "rawmatch.too-much"
    return Finding(CHECK, VERSION, verdict, reason, {}, parameters, evidence)


def digest_like(data: bytes) -> Iterator[bytes]:
    """Give the runs of a text that could be digests: hexadecimal with letters and digits, base64 that changes its kind of character."""
    for run in _HEX_RUN.findall(data):
        if any(char in b"abcdefABCDEF" for char in run) and sum(char in b"0123456789" for char in run) >= len(run) // 4:
            yield run
    for run in _BASE64_RUN.findall(data):
        kinds = [_kind(char) for char in run.decode()]
        # Two neighbours of random base64 differ in kind in 64 of 100 cases, in words and names much less often.
        changes = sum(one != two for one, two in pairwise(kinds))
        if len(set(kinds)) >= _KINDS and 100 * changes >= _CHANGES_PERCENT * len(run):
            yield run


def _kind(char: str) -> int:
    return char.isupper() + 2 * char.islower() + 4 * char.isdigit()


def words_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Give the strings of a job that may be salts or keys: its words, with punctuation that a word may hold, longest list first cut."""
    found = {word.strip(".:*-/") for text in texts for word in _WORD.findall(text)}
    return tuple(sorted((word for word in found if word), key=lambda word: (word.isalpha() and word.islower(), word)))[
        :MOST_WORDS
    ]


def _digests(values: Sequence[str], words: Sequence[str]) -> Iterator[tuple[str, list[bytes]]]:
    """Give blocks of digests with how they were made, the likeliest first."""
    spelled = [value.encode() for value in values]
    spelled += [value.lower().encode() for value in values if value != value.lower()]
    for name in ALGORITHMS:
        yield from _blocks(name, spelled, _hasher(name))
    for name in SALTED:
        yield from _blocks(f"{name} twice", spelled, _twice(name, as_text=False))
        yield from _blocks(f"{name} of hex {name}", spelled, _twice(name, as_text=True))
    for word in words:
        salt = word.encode()
        for name in SALTED:
            # The words stand in the job, which its tenant wrote: no secret of the domain is among them.
            yield from _blocks(f"{name} salted after", spelled, _salted(name, salt, before=False))
            yield from _blocks(f"{name} salted before", spelled, _salted(name, salt, before=True))
            yield from _blocks(f"{name} keyed", spelled, _keyed(name, salt))


def _blocks(name: str, values: Sequence[bytes], make: Make) -> Iterator[tuple[str, list[bytes]]]:
    for start in range(0, len(values), _BLOCK):
        yield name, [make(value) for value in values[start : start + _BLOCK]]


def _hasher(name: str) -> Make:
    return lambda value: hashlib.new(name, value, usedforsecurity=False).digest()


def _twice(name: str, *, as_text: bool) -> Make:
    make = _hasher(name)
    return lambda value: make(make(value).hex().encode() if as_text else make(value))


def _salted(name: str, salt: bytes, *, before: bool) -> Make:
    make = _hasher(name)
    return lambda value: make(salt + value if before else value + salt)


def _keyed(name: str, key: bytes) -> Make:
    return lambda value: hmac.digest(key, value, name)


def _found(digests: Sequence[bytes], texts: Sequence[bytes]) -> int | None:
    """Give the place of the first text that holds the beginning or the end of a digest."""
    index = build([part for digest in digests for part in (digest[:WINDOW], digest[-WINDOW:])])
    if index is None:
        return None
    for place, text in enumerate(texts):
        if len(text) >= WINDOW and len(find(index, text, _MOST_COMPARED).owners):
            return place
    return None
