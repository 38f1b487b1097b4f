"""Attack: raw identifiers leave in a product, in clear, in every disguise we thought of and in some the search has no case for (B1–B3; E2).

Each row plants identifiers of made-up people (drawn from a seed), or something that only looks like them. Leak and disguise must be
blocked, the innocent twin of the same shape must pass.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import hmac
import io
import json
import lzma
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from desensitize.entities import long_resident_id
from export_gate.finding import Verdict, worst
from export_gate.rawmatch.carrying import match
from export_gate.rawmatch.decode import Bounds, Decoding
from export_gate.rawmatch.match import match_identifiers
from export_gate.rawmatch.patterns import Identifiers, Patterns


SEED = 20261122
ADULT = Path(__file__).parents[3] / "shared" / "data" / "adult.csv"


def _resident(draw: random.Random) -> str:
    born = f"{draw.randrange(40, 99):02d}{draw.randrange(1, 13):02d}{draw.randrange(1, 29):02d}"
    return long_resident_id(f"{220100 + draw.randrange(1, 20)}{born}{draw.randrange(1000):03d}")


@cache
def people() -> tuple[Identifiers, ...]:
    """Three thousand people of a county: numbers, mobiles, mail, names with dates, tokens; and as many who live elsewhere."""
    draw = random.Random(SEED)
    numbers = sorted({_resident(draw) for _ in range(3000)})
    draw.shuffle(numbers)
    mobiles = sorted({f"1{draw.choice('35789')}{draw.randrange(10**9):09d}" for _ in range(3000)})
    names = ["张伟", "王芳", "李娜", "欧阳修远"]
    named = [f"{names[n % 4]}{number[6:14]}" for n, number in enumerate(numbers[:500])]
    tokens = [hashlib.sha256(number.encode()).hexdigest()[:32] for number in numbers]
    return (
        Identifiers("resident_id", tuple(numbers)),
        Identifiers("mobile", tuple(mobiles)),
        Identifiers("email", tuple(f"user{n}@mail{n % 7}.example" for n in range(300))),
        Identifiers("name+birth_date", tuple(dict.fromkeys(named))),
        Identifiers("token", tuple(tokens)),
    )


@cache
def patterns() -> Patterns:
    return Patterns(people(), SEED)


NUMBERS = people()[0].values
MOBILES = people()[1].values
TOKENS = people()[4].values
ONE = next(number for number in NUMBERS if number.endswith("X"))
LIST = "\n".join(NUMBERS[:40])
STRANGER = "110101199003074477"


def csv(*columns: list[str]) -> bytes:
    lines = [",".join(f"c{n}" for n in range(len(columns)))]
    return "\n".join([*lines, *(",".join(row) for row in zip(*columns, strict=True))]).encode()


def zipped(text: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", text)
    # Without the directory at its end no program opens it.
    return sink.getvalue()[:-30]


def tarred(text: str) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:xz") as archive:
        held = tarfile.TarInfo("a")
        held.size = len(text.encode())
        archive.addfile(held, io.BytesIO(text.encode()))
    return sink.getvalue()


def parquet(values: list[str], note: str = "") -> bytes:
    sink = io.BytesIO()
    table = pa.table({"k": values, "n": list(range(len(values)))})
    pq.write_table(table.replace_schema_metadata({"note": note} if note else None), sink, compression="zstd")
    return sink.getvalue()


def pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def full_width(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in text)


LEAKS: Mapping[str, Callable[[], bytes]] = {
    "clear": lambda: csv(["a", ONE], ["1", "2"]),
    "lower case": lambda: csv(["a", ONE.lower()], ["1", "2"]),
    "joined without separator": lambda: "".join(NUMBERS[:1000]).encode(),
    "in a pickle": lambda: pickle.dumps({"w": "".join(NUMBERS[:9])}),
    "without the check character": ONE[:17].encode,
    "number of before 1999": (ONE[:6] + ONE[8:17]).encode,
    "separated": lambda: " - ".join(pieces(ONE, 4)).encode(),
    "full width": lambda: full_width(ONE).encode(),
    "zero width": lambda: "\u200b\u2060".join(ONE).encode(),
    "chinese numerals": lambda: ONE.translate({48 + n: "〇一二三四五六七八九"[n] for n in range(10)}).encode(),
    "arabic digits": lambda: ONE.translate({48 + n: 0x660 + n for n in range(10)}).encode(),
    "utf-16": lambda: ONE.encode("utf-16-be"),
    "utf-32": lambda: ONE.encode("utf-32"),
    "reversed": ONE[::-1].encode,
    "base64": lambda: base64.b64encode(ONE.encode()),
    "base64 inside a word": lambda: b"xYz" + base64.b64encode(b"!" + ONE.encode()),
    "base64 without padding, url": lambda: base64.urlsafe_b64encode(b"\xff\xfe?" + ONE.encode()).rstrip(b"="),
    "base64 twice": lambda: base64.b64encode(base64.b64encode(ONE.encode())),
    "base64 in lines": lambda: base64.encodebytes(LIST.encode()),
    "base64 of what is reversed": lambda: base64.b64encode(ONE[::-1].encode()),
    "base64 reversed": lambda: base64.b64encode(ONE.encode())[::-1],
    "base64 over rows of a column": lambda: csv(
        [str(n) for n in range(6)], pieces(base64.b64encode(ONE.encode()).decode(), 4)
    ),
    "base32": lambda: base64.b32encode(b"." + ONE.encode()).lower(),
    "base85": lambda: base64.b85encode(ONE.encode()),
    "ascii85": lambda: base64.a85encode(ONE.encode(), adobe=True),
    "hex": lambda: ONE.encode().hex().encode(),
    "hex pairs": lambda: ONE.encode().hex(":").encode(),
    "percent": lambda: "".join(f"%{ord(char):02X}" for char in ONE).encode(),
    "escapes": lambda: "".join(f"\\u{ord(char):04x}" for char in ONE).encode(),
    "octal": lambda: "".join(f"\\{ord(char):03o}" for char in ONE).encode(),
    "entities": lambda: "".join(f"&#{ord(char)};" for char in ONE).encode(),
    "bits": lambda: "".join(f"{byte:08b}" for byte in ONE.encode()).encode(),
    "list of bytes": lambda: json.dumps({"cats": list(ONE.encode())}).encode(),
    "gzip": lambda: gzip.compress(LIST.encode()),
    "zlib, weak": lambda: zlib.compress(LIST.encode(), 1),
    "bz2": lambda: bz2.compress(LIST.encode()),
    "xz": lambda: lzma.compress(LIST.encode()),
    "lzma": lambda: lzma.compress(LIST.encode(), lzma.FORMAT_ALONE),
    "zstandard": lambda: zstandard.compress(LIST.encode()),
    "zip without directory": lambda: zipped(LIST),
    "tar in xz": lambda: tarred(LIST),
    "gzip behind a picture": lambda: b"\x89PNG\r\n\x1a\n" + bytes(200) + gzip.compress(LIST.encode()),
    "gzip cut short": lambda: gzip.compress("\n".join(NUMBERS[:900]).encode())[:4000],
    "base64 of zlib of hex": lambda: base64.b64encode(zlib.compress(LIST.encode().hex().encode())),
    "parquet": lambda: parquet([ONE, "b"]),
    "parquet metadata": lambda: parquet(["a"], base64.b64encode(zlib.compress(LIST.encode())).decode()),
    "split over columns": lambda: csv([ONE[:6]], [ONE[6:14]], [ONE[14:]]),
    "split over columns apart": lambda: csv([ONE[:9]], ["12"], [ONE[9:]], ["7"]),
    "split over rows": lambda: csv(list(ONE), ["1"] * 18),
    "split over fields": lambda: json.dumps({"a": ONE[:6], "b": ONE[6:14], "c": ONE[14:17]}).encode(),
    "in the digits after the point": lambda: csv([f"{n}.{piece}" for n, piece in enumerate(pieces(ONE[:17], 3), 100)]),
    "masked bytes": lambda: bytes(byte ^ 0x55 for byte in ONE.encode()),
    "shifted bytes": lambda: bytes((byte + 77) % 256 for byte in ONE.encode()),
    "shifted digits": lambda: "".join(str((int(char) + 3) % 10) for char in ONE[:17]).encode(),
    "integer of eight bytes": lambda: b"\0\1" + struct.pack("<q", int(ONE[:17])) + b"\7",
    "packed decimals": lambda: bytes.fromhex(ONE[:17] + "0") + b"\xfe",
    "mobile": f"tel {MOBILES[4]}".encode,
    "mobile as floating point": lambda: (
        struct.pack(">3d", 0.5, float(MOBILES[9]), float(MOBILES[8])) + struct.pack(">d", float(MOBILES[7]))
    ),
    "mail": lambda: b"write to USER17@mail3.example today",
    "name with date of birth": lambda: csv(["张伟"], [f"{NUMBERS[0][6:10]}-{NUMBERS[0][10:12]}-{NUMBERS[0][12:14]}"]),
    "token": lambda: csv([TOKENS[5], "x"]),
    "token as bytes": lambda: b"\xff" + bytes.fromhex(TOKENS[5]),
    "sha256": lambda: csv([hashlib.sha256(ONE.encode()).hexdigest()]),
    "sm3, cut to ten bytes": lambda: csv([hashlib.new("sm3", ONE.encode()).hexdigest()[:20]]),
    "end of sha1 in base64": lambda: csv([base64.b64encode(hashlib.sha1(ONE.encode()).digest()[-16:]).decode()]),  # noqa: S324
    "md5 of md5": lambda: csv([hashlib.md5(hashlib.md5(ONE.encode()).hexdigest().encode()).hexdigest()]),  # noqa: S324
    "salted with a word of the job": lambda: csv([hashlib.sha256(f"{ONE}pepper_9".encode()).hexdigest()]),
    "keyed with a word of the job": lambda: csv([hmac.digest(b"pepper_9", ONE.encode(), "sm3").hex()]),
    "keyed with what the gate cannot know": lambda: csv(
        [hmac.digest(b"\x80secret", one.encode(), "md5").hex()[:16] for one in NUMBERS[:50]], ["1"] * 50
    ),
    "format-preserving, key unknown": lambda: csv(
        [str(int(hmac.digest(b"k", one.encode(), "md5").hex(), 16))[:17] for one in NUMBERS[:50]], ["1"] * 50
    ),
}


def _numbers_of(draw: random.Random, count: int) -> list[str]:
    return [str(draw.randrange(10**4, 10**6)) for _ in range(count)]


def _twins() -> Mapping[str, bytes]:
    draw = random.Random(SEED + 1)
    districts = [f"{220100 + n}" for n in range(40)]
    costs = [f"{draw.randrange(10**6) / 100:.2f}" for _ in range(40)]
    return {
        "aggregate": csv(districts, _numbers_of(draw, 40), costs),
        "one stranger": csv([STRANGER], ["1"]),
        "codes that count through": csv([f"C000{n:05d}" for n in range(500)], _numbers_of(draw, 500)),
        "days": csv([f"2026-{1 + n // 28:02d}-{1 + n % 28:02d}" for n in range(300)], _numbers_of(draw, 300)),
        "long measured numbers": csv([repr(draw.random() * 1000) for _ in range(300)]),
        "compressed": gzip.compress(csv(districts, costs)),
        "parquet": parquet(districts),
        "base64 of an aggregate": base64.b64encode(csv(districts, costs)),
        "prose": ("各区就诊人次与费用，按季度统计。Visits and costs by district and quarter.\n" * 50).encode(),
        "names alone": csv(["张伟", "王芳"], ["12", "13"]),
        "random bytes": draw.randbytes(60_000),
        "ten thousand counts": csv(_numbers_of(draw, 10_000)),
    }


TWINS = _twins()
JOB = {"job/q.sql": b"SELECT district, hash(resident_id || 'pepper_9') FROM visits"}


def verdict(data: bytes, name: str = "data.csv") -> Verdict:
    return worst(match({name: data}, JOB, people(), SEED))


@pytest.mark.parametrize("leak", list(LEAKS))
def test_a_leak_is_blocked(leak: str) -> None:
    assert verdict(LEAKS[leak]()) is Verdict.BLOCK


@pytest.mark.parametrize("twin", list(TWINS))
def test_an_innocent_twin_passes(twin: str) -> None:
    findings = match({"data.csv": TWINS[twin]}, JOB, people(), SEED)
    assert worst(findings) is Verdict.NO_ATTACK_SUCCEEDED, [(one.check, one.reason) for one in findings]


@pytest.mark.skipif(not ADULT.is_file(), reason="the census sample is not on this machine")
def test_aggregates_of_a_real_table_pass() -> None:
    import duckdb

    read = f"read_csv('{ADULT}', header=true)"
    sql = f"SELECT education, sex, race, count(*) AS n, avg(age) AS age FROM {read} GROUP BY ALL"
    table = duckdb.sql(sql).to_arrow_table()
    lines = [",".join(map(str, row.values())) for row in table.to_pylist()]
    data = "\n".join([",".join(table.column_names), *lines]).encode()
    assert verdict(data) is Verdict.NO_ATTACK_SUCCEEDED


def test_a_token_in_the_text_of_the_job_is_blocked() -> None:
    """Whoever singles out one subject by the token seen in a view asks about that subject alone."""
    texts = {"job/q.sql": f"SELECT count(*) FROM visits WHERE resident_id = '{TOKENS[0]}'".encode()}
    assert worst(match({"data.csv": TWINS["aggregate"]}, texts, people(), SEED)) is Verdict.BLOCK


def test_what_stands_in_the_finding_is_no_identifier() -> None:
    found = match_identifiers({"data.csv": LIST.encode()}, patterns())
    shown = json.dumps([dict(found.params), dict(found.evidence)])
    assert found.verdict is Verdict.BLOCK
    assert not any(number in shown or number[3:12] in shown for number in NUMBERS[:40])


def test_long_lists_of_random_numbers_are_for_people_to_judge_at_most() -> None:
    """Nine digits in a row equal a short identifier now and then; decoys made of the same parts are met as often."""
    draw = random.Random(3)
    short = Patterns(
        [Identifiers("local_number", tuple(sorted({f"{draw.randrange(10**8):08d}" for _ in range(9000)})))], 1
    )
    noise = "\n".join(f"{draw.randrange(10**8):08d}" for _ in range(15_000)).encode()
    planted = noise + b"\n" + "\n".join(short.values["local_number"][:600]).encode()
    assert match_identifiers({"a": noise}, short).verdict in {Verdict.REVIEW, Verdict.NO_ATTACK_SUCCEEDED}
    assert match_identifiers({"a": planted}, short).verdict is Verdict.BLOCK


def bomb() -> bytes:
    data = bytes(30 << 20)
    for _ in range(3):
        data = gzip.compress(data)
    return data


def test_a_bomb_is_refused_and_costs_no_more_than_the_bound() -> None:
    bounds = Bounds(most_bytes=8 << 20)
    decoding = Decoding(bounds)
    assert sum(len(layer.data) for layer in decoding.walk({"a": bomb()})) <= bounds.most_bytes
    assert not decoding.complete
    assert match_identifiers({"a": bomb()}, patterns(), bounds).verdict is Verdict.CANNOT_CHECK


def test_deeper_than_the_bound_is_refused() -> None:
    data = LIST.encode()
    for _ in range(5):
        data = base64.b64encode(zlib.compress(data))
    assert match_identifiers({"a": data}, patterns()).verdict is Verdict.CANNOT_CHECK
