"""What a run may hide in a file, or do to whoever opens it: each attack with a disguise and an innocent twin; bombs in the real jail.

B2, B20–B23: containers that carry more than they show, polyglots, bombs, lying headers, formats that nobody here reads.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from export_gate.evidence import read_evidence, read_file
from export_gate.exports import Export, folder_of
from export_gate.file.limits import JAIL_LIMITS
from export_gate.gatekeeper import Gatekeeper
from export_gate.states import ExportState
from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.probe import BWRAP
from jobs.jail.spec import JailSpec, Outcome
from tests import files, handing
from tests.fixtures_domain import WorldAt
from tests.worlds import World


needs_jail = pytest.mark.skipif(os.geteuid() != 0 or not BWRAP.exists(), reason="needs root and bubblewrap")

SECRET = "110101199003070011"
"""What is smuggled: it must be in nothing that leaves."""
SECONDS = JAIL_LIMITS.seconds + 60


@dataclass(frozen=True)
class Triplet:
    """A planted leak, the same leak in a disguise, and an innocent file of the same shape, all of one declared format."""

    form: str
    leak: bytes
    disguise: bytes
    innocent: bytes


def categories(values: list[str]) -> pa.Table:
    """The rows with a dictionary of which most entries are unused, as pandas writes a filtered category."""
    indices = pa.array([0, 1, 2], pa.int32())
    dictionary = pa.DictionaryArray.from_arrays(indices, pa.array(["south", "north", "east", *values]))
    return files.frame().set_column(0, "district", dictionary)


def with_metadata(table: pa.Table, text: str) -> pa.Table:
    return table.replace_schema_metadata({"notes": text})


def indexed() -> bytes:
    """What pandas leaves when rows are labelled by person."""
    table = files.frame().to_pandas().set_index(pd.Index([SECRET, SECRET, SECRET], name="resident"))
    return files.parquet(pa.Table.from_pandas(table))


def marked_low_bits() -> Image.Image:
    pixels = np.asarray(files.picture((200, 40))).copy()
    bits = np.unpackbits(np.frombuffer(SECRET.encode() * 8, dtype=np.uint8))
    pixels.reshape(-1)[: bits.size] = (pixels.reshape(-1)[: bits.size] & 0xFE) | bits
    return Image.fromarray(pixels)


def jpeg_with(segment: bytes) -> bytes:
    plain = files.image(form="JPEG")
    return plain[:2] + segment + plain[2:]


def comment(data: bytes, marker: int = 0xFE) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


PLAIN = files.image(files.picture((200, 40)))
# Leak and disguise end as refused, or as released without what they carried.
TRIPLETS: Mapping[str, Triplet] = {
    "B20 key-value metadata": Triplet(
        "parquet",
        files.parquet(with_metadata(files.frame(), SECRET)),
        files.parquet(with_metadata(files.frame(), zlib.compress(SECRET.encode()).hex())),
        files.parquet(),
    ),
    "B20 unused categories": Triplet(
        "parquet", files.parquet(categories([SECRET])), files.arrow(categories([SECRET])), files.parquet(categories([]))
    ),
    "B20 index of persons": Triplet("parquet", indexed(), indexed(), files.parquet()),
    "B20 statistics and undeclared columns": Triplet(
        "parquet",
        files.parquet(files.frame().append_column("resident", pa.array([SECRET] * 3))),
        files.parquet(files.frame().append_column("x", pa.array([SECRET[::-1]] * 3)), compression="zstd"),
        files.parquet(files.frame().append_column("note", pa.array(["a"] * 3))),
    ),
    "B20 arrow metadata": Triplet(
        "arrow",
        files.arrow(with_metadata(files.frame(), SECRET)),
        files.arrow(with_metadata(categories([SECRET]), "x"), "lz4"),
        files.arrow(compression="zstd"),
    ),
    "B23 text in a picture's file": Triplet(
        "png",
        files.png_of(1, 1, zlib.compress(b"\0\0"), (b"tEXt", b"Comment\0" + SECRET.encode())),
        files.png_of(1, 1, zlib.compress(b"\0\0"), (b"prVt", zlib.compress(SECRET.encode()))),
        files.png_of(1, 1, zlib.compress(b"\0\0")),
    ),
    "B23 bytes behind a picture": Triplet(
        "png", PLAIN + SECRET.encode(), PLAIN + zlib.compress(SECRET.encode() * 9), PLAIN
    ),
    "B23 bytes behind the pixels": Triplet(
        "png",
        files.png_of(1, 1, zlib.compress(b"\0\0" + SECRET.encode())),
        files.png_of(1, 1, zlib.compress(b"\0\0") + SECRET.encode()),
        files.png_of(1, 1, zlib.compress(b"\0\0")),
    ),
    "B23 low bits": Triplet(
        "png", files.image(marked_low_bits()), files.image(marked_low_bits(), optimize=True), PLAIN
    ),
    "B23 comment in a JPEG": Triplet(
        "jpeg",
        jpeg_with(comment(SECRET.encode())),
        jpeg_with(comment(b"Adobe\0\x64\0\0\0\0\1" + SECRET.encode(), 0xEE)),
        files.image(form="JPEG"),
    ),
    "B23 bytes behind a JPEG": Triplet(
        "jpeg",
        files.image(form="JPEG") + SECRET.encode(),
        files.image(form="JPEG") + PLAIN,
        files.image(form="JPEG", quality=90),
    ),
    "B2 invisible text": Triplet(
        "text",
        b"Visits rose." + "".join(chr(0xE0000 + ord(one)) for one in SECRET).encode(),
        b"Visits rose." + "".join(("\u200b", "\u200c")[int(one) % 2] for one in SECRET).encode(),
        "今年就诊增加。\nVisits rose.\n".encode(),
    ),
    "B2 blanks at line ends": Triplet(
        "text",
        "".join(f"a{' ' * int(one)}\n" for one in SECRET).encode(),
        "".join(f"a{chr(0x2000 + int(one))}\n" for one in SECRET).encode(),
        b"a\n" * 18,
    ),
    "B1 an identifier in a cell": Triplet(
        "csv",
        f"district,visits,share\n{SECRET},1,0.5\n".encode(),
        f"district,visits,share\n{SECRET[:6]} {SECRET[6:14]}-{SECRET[14:]},1,0.5\n".encode(),
        files.csv_text(),
    ),
    "B3 tokens of the inputs": Triplet(
        "csv",
        b"district,visits,share\n" + b"".join(b"%032x,1,0.5\n" % (n * 7919**8) for n in range(1, 40)),
        b"district,visits,share\n" + b"".join(b"%024X,1,0.5\n" % (n * 7919**5 + 16**23) for n in range(1, 40)),
        b"district,visits,share\n" + b"".join(b"Ward %02d,1,0.5\n" % n for n in range(1, 40)),
    ),
    "B11 digits beyond the declared": Triplet(
        "csv",
        b"district,visits,share\neast,100,0.12110101199003070011\n",
        b"district,visits,share\neast,0000100,1.2110101199003070011e-1\n",
        b"district,visits,share\neast,100,0.12\n",
    ),
}


def onnx() -> bytes:
    return b"\x08\x08\x12\x07skl2onnx" + bytes(64)


def zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    return held.getvalue()


def lying_parquet(field: bytes) -> bytes:
    """A Parquet file whose footer was overwritten in places."""
    data = bytearray(files.parquet())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    data[footer : footer + len(field)] = field
    return bytes(data)


FOREIGN = {
    "pickle": ("text", pickle.dumps({"a": 1}), "file.foreign-model"),
    "pickle of protocol 0": ("text", b"cos\nsystem\n(S'id'\ntR.", "file.foreign-model"),
    "safetensors": ("text", struct.pack("<Q", 9) + b'{"a":{}} ', "file.foreign-model"),
    "hdf5": ("text", b"\x89HDF\r\n\x1a\n" + bytes(9), "file.foreign-model"),
    "onnx": ("text", onnx(), "file.invisible-character"),
    "html": ("text", b" \n<!DOCTYPE html><p>x", "file.foreign-page"),
    "svg": ("png", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "file.foreign-page"),
    "html further down": ("text", b"Report\n<img src=x>", "file.markup"),
    "pdf": ("text", b"%PDF-1.7\n", "file.foreign-document"),
    "pdf further down": ("text", b"Report\n%PDF-1.7\n", "file.foreign-document"),
    "office": ("csv", zipped(), "file.archive"),
    "old office": ("csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "file.foreign-document"),
    "notebook": ("text", json.dumps({"cells": []}).encode(), "file.foreign-document"),
    "gzip called a table": ("csv", gzip.compress(files.csv_text()), "file.archive"),
    "sqlite": ("csv", b"SQLite format 3\0" + bytes(99), "file.foreign-store"),
    "numpy": ("csv", b"\x93NUMPY\1\0", "file.foreign-store"),
    "gif": ("png", b"GIF89a\1\0\1\0", "file.foreign-picture"),
    "webp": ("png", b"RIFF\x24\0\0\0WEBPVP8 ", "file.foreign-picture"),
    "a table called a picture": ("png", files.csv_text(), "file.other-format"),
    "a picture called a table": ("csv", PLAIN, "file.other-format"),
    "parquet behind a zip's end": ("parquet", files.parquet() + zipped(), "file.trailing-bytes"),
}

BOMBS = {
    "a billion pixels": ("png", files.png_of(31623, 31623, zlib.compress(b"")), {"file.too-many-pixels"}),
    "a billion bytes of pixels": ("png", files.png_of(2000, 2000, files.bomb(10**9)), {"file.trailing-bytes"}),
    "no pixels": ("png", files.png_of(2000, 2000, zlib.compress(b"")), {"file.bad-png"}),
    "JPEG of 65535 by 65535": (
        "jpeg",
        b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xff\xff\xff\1\1\x11\0\xff\xd9",
        {"file.too-many-pixels"},
    ),
    "a million brackets": ("json-lines", b"[" * 10**6, {"file.long-line"}),
    "60,000 brackets": ("json-lines", b'{"a":' * 12_000, {"file.bad-json-line"}),
    "a million rows": ("csv", b"district,visits,share\n" + b"a,1,1\n" * 10**6, {"file.too-many-rows"}),
    "ten million empty lines": ("json-lines", b"\n" * 10**7, {"file.bad-json-line"}),
    "a million rows of nothing": (
        "parquet",
        files.parquet(pa.table({name: pa.nulls(10**6, pa.string()) for name in ("district", "visits", "share")})),
        {"file.too-many-rows"},
    ),
    "a footer of random bytes": ("parquet", lying_parquet(os.urandom(64)), {"file.bad-parquet"}),
    "a footer of nested lists": ("parquet", lying_parquet(b"\x1c" * 200), {"file.bad-parquet"}),
    "an Arrow file cut in the middle": ("arrow", files.arrow()[:-200] + files.arrow()[-6:], {"file.bad-arrow"}),
    "a million quotes": ("csv", b"district,visits,share\n" + b'"' * 10**6, {"file.bad-csv"}),
}


@pytest.fixture(scope="module")
def shared(world_templates: WorldAt) -> Iterator[World]:
    """One world for every file of this module: each export leaves the others alone."""
    from tests.fixtures_domain import quick_folder

    with pytest.MonkeyPatch.context() as patch, quick_folder() as folder:
        patch.setenv("SHUZHA_UNIT_TESTS", "1")
        yield handing.open_world(lambda stage: world_templates(stage).copy(folder / "home"), 10**9)


def handed(
    world: World, form: str, data: bytes, at: type[Gatekeeper] = handing.Desk
) -> tuple[Export, Mapping[str, bytes]]:
    """Let a production run leave a file and the gate take it; gives the export and the files that would leave."""
    job = world.ids.get(f"job:{form}") or handing.submit(world, handing.described(form, 8192))
    world.ids[f"job:{form}"] = job
    gate = at(world.domain, BubblewrapJail())
    found = handing.take(gate, world, job, handing.leave(world, job, {"left": data}))
    folder = folder_of(world.domain, found.id)
    evidence = read_evidence(folder, str(found.evidence_digest))
    return found, {one["name"]: read_file(folder, one) for one in evidence["files"]}


@pytest.mark.parametrize("name", list(TRIPLETS))
@pytest.mark.parametrize("kind", ["leak", "disguise"])
def test_what_is_hidden_stays_in(shared: World, name: str, kind: str) -> None:
    triplet = TRIPLETS[name]
    data = triplet.leak if kind == "leak" else triplet.disguise
    form = "arrow" if data.startswith(b"ARROW1") else triplet.form
    found, left = handed(shared, form, data)
    if found.state is ExportState.REFUSED:
        assert not left
        return
    _, honest = handed(shared, triplet.form, triplet.innocent)
    assert {one: data for one, data in left.items() if one != "card.json"} == {
        one: data for one, data in honest.items() if one != "card.json"
    }


@pytest.mark.parametrize("name", list(TRIPLETS))
def test_the_innocent_twin_goes_to_the_reviewers(shared: World, name: str) -> None:
    found, left = handed(shared, TRIPLETS[name].form, TRIPLETS[name].innocent)
    assert found.state is ExportState.IN_REVIEW, found.reasons
    assert "card.json" in left
    assert len(left) > 1


@pytest.mark.parametrize("name", list(FOREIGN))
def test_what_nobody_reads_here_says_what_to_use_instead(shared: World, name: str) -> None:
    form, data, reason = FOREIGN[name]
    found, left = handed(shared, form, data)
    assert (found.state, found.verdict, left) == (ExportState.REFUSED, "cannot check", {})
    assert reason in handing.reasons(found)


@pytest.mark.parametrize("name", list(BOMBS))
def test_a_bomb_costs_no_more_than_its_limits(shared: World, name: str) -> None:
    form, data, expected = BOMBS[name]
    found, left = handed(shared, form, data)
    assert (found.state, found.verdict, left) == (ExportState.REFUSED, "cannot check", {})
    assert expected & handing.reasons(found), found.reasons


class Broken(BubblewrapJail):
    """The real jail around a parser that was taken over: it does whatever its file says."""

    def __init__(self, code: str) -> None:
        self.code = code

    def run(self, spec: JailSpec, cancelled: Callable[[], bool]) -> Outcome:
        return super().run(replace(spec, argv=(*spec.argv[:-2], "-c", self.code)), cancelled)


LEFT = "import json; json.dump({}, open('/out/result.json', 'w'))"
"""What a taken-over parser runs to answer as it likes."""
TAKEN_OVER = {
    "eats memory": "x = [bytearray(1 << 26) for _ in range(99)]",
    "fills the outbox": "open('/out/result.json', 'wb').write(bytes(1 << 30))",
    "forks": "import os\nwhile True: os.fork()",
    "dies": "import os; os.abort()",
    "leaves a link": "import os; os.symlink('/etc/passwd', '/out/result.json')",
    "leaves no JSON": "open('/out/result.json', 'w').write('[' * 100_000)",
    "leaves another value": LEFT.format("[1]"),
    "leaves an odd refusal": LEFT.format("{'refused': 1}"),
    "leaves unknown words": LEFT.format("{'problem': 'file.' + 'x' * 99, 'line': 1}"),
    "leaves a line too many": LEFT.format("{'problem': 'file.empty', 'line': 10 ** 40}"),
    "leaves rows it was not asked for": LEFT.format("{'canonical': {'rows': [['a', '1', '0.50', 'more']]}}"),
    "leaves more than was reserved": LEFT.format(
        "{'canonical': {'rows': [['%05d' % n, '1', None] for n in range(3000)]}}"
    ),
}


@needs_jail
@pytest.mark.jail
@pytest.mark.parametrize("name", list(TAKEN_OVER))
def test_a_parser_that_was_taken_over_gets_nothing_out(shared: World, name: str) -> None:
    job = shared.ids.setdefault("job:broken", "") or handing.submit(shared, handing.described("csv", 8192))
    shared.ids["job:broken"] = job
    begun = monotonic()
    run = handing.leave(shared, job, {"left": files.csv_text()})
    found = handing.take(Gatekeeper(shared.domain, Broken(TAKEN_OVER[name])), shared, job, run)
    assert monotonic() - begun < SECONDS
    assert (found.state, found.verdict) == (ExportState.REFUSED, "cannot check")
    assert handing.reasons(found) == {"file.bits-charged", "file.no-answer", "policy.needs-reason"}
    assert nothing_left(shared)


SEEN = """
import json, os
seen = [os.path.join(top, name) for folder in ("/in", "/job", "/request") for top, _, names in os.walk(folder) for name in names]
network = open("/proc/net/dev").read().count(":")
json.dump({"problem": "file.empty", "line": len(seen) * 10 + network}, open("/out/result.json", "w"))
"""


@needs_jail
@pytest.mark.jail
def test_the_parser_sees_one_file_and_its_description_and_no_table(shared: World) -> None:
    job = handing.submit(shared, handing.described("csv"))
    run = handing.leave(shared, job, {"left": files.csv_text(), "other": b"not for it"})
    found = handing.take(Gatekeeper(shared.domain, Broken(SEEN)), shared, job, run)
    (said,) = [one["params"]["line"] for one in found.reasons if one["reason"] == "file.empty"]
    assert said == 21


def unfolding() -> bytes:
    """A Parquet file of a few kilobytes that unfolds to four gigabytes: one long text, named by every row."""
    one = pa.array(["x" * 10**6])
    rows = pa.DictionaryArray.from_arrays(pa.array(np.zeros(4096, dtype=np.int32)), one)
    numbers = pa.array(np.zeros(4096, dtype=np.int64))
    table = pa.table({"district": rows, "visits": numbers, "share": numbers})
    return files.parquet(table, compression="zstd", store_schema=False)


@needs_jail
@pytest.mark.jail
def test_what_unfolds_to_gigabytes_dies_in_the_jail(shared: World) -> None:
    data = unfolding()
    assert len(data) < 100_000
    found, left = handed(shared, "parquet", data, Gatekeeper)
    assert (found.state, left) == (ExportState.REFUSED, {})
    assert handing.reasons(found) & {"file.no-answer", "file.bad-parquet"}
    assert nothing_left(shared)


REAL = ("a billion bytes of pixels", "a million rows of nothing", "60,000 brackets")


@needs_jail
@pytest.mark.jail
@pytest.mark.parametrize("name", REAL)
def test_a_bomb_in_the_real_jail(shared: World, name: str) -> None:
    form, data, expected = BOMBS[name]
    begun = monotonic()
    found, left = handed(shared, form, data, Gatekeeper)
    assert monotonic() - begun < SECONDS
    assert (found.state, left) == (ExportState.REFUSED, {})
    assert expected & handing.reasons(found), found.reasons
    assert nothing_left(shared)


@needs_jail
@pytest.mark.jail
@pytest.mark.parametrize("form", ["csv", "json-lines", "parquet", "arrow", "png", "jpeg", "text"])
def test_every_format_in_the_real_jail(shared: World, form: str) -> None:
    data = {**files.HONEST, "png": PLAIN, "jpeg": files.image(form="JPEG"), "text": b"Visits rose.\n"}[form]
    found, left = handed(shared, form, data, Gatekeeper)
    assert found.state is ExportState.IN_REVIEW, found.reasons
    if form in files.HONEST:
        assert left["data.csv"] == files.CANONICAL


def nothing_left(world: World) -> bool:
    works = world.domain.home / "run" / "work"
    return list(works.iterdir()) == [] and str(works) not in Path("/proc/self/mountinfo").read_text()
