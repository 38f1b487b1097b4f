"""A release in other hands: whatever is changed in it is seen, offline, with ``domain.pub`` alone (L1, L5, E4)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from export_gate import release
from export_gate.release import DATA, MANIFEST, PROOF, SIGNATURE, statement, zip_folder
from export_gate.verifying import Verified, verify_release
from lineage.errors import GateRefusedError
from lineage.kinds import Kind
from lineage.note import Signer
from lineage.proof import Proof, prove
from sandbox.domain import read_public_keys
from tests.factories import NAME, Stage, World, approve_export, check, refused, request_export, vote
from tests.fixtures_domain import WorldAt


@dataclass(frozen=True)
class Held:
    """What a recipient holds, and what an attacker may have beside it: another release of the same domain, and another domain's."""

    folder: Path
    other: Path
    foreign: Path
    pub: str
    world: World

    def verify(self, path: Path | None = None) -> Verified:
        log_key, release_key = read_public_keys(self.pub)
        return verify_release(path or self.folder, log_key, release_key)


@pytest.fixture
def held(world_at: WorldAt, tmp_path: Path) -> Held:
    """A copy in another place; the domain itself is gone while it is verified."""
    world = world_at(Stage.RELEASED)
    first = world.ids["export"]
    world.ids["export"] = request_export(world)
    world.ids["digest"] = str(check(world, world.ids["export"]).evidence_digest)
    vote(world, "reviewer")
    vote(world, "expert")
    approve_export(world)
    second = release.release(world.domain, world.ids["export"])
    away = tmp_path / "elsewhere"
    shutil.copytree(world.domain.home / "releases" / first, away / "product")
    shutil.copytree(second, away / "other")
    pub = (world.domain.home / "public" / "domain.pub").read_text()
    return Held(away / "product", away / "other", away, pub, world)


def test_the_innocent_twin_holds_as_a_folder_and_as_an_archive(held: Held) -> None:
    shutil.copytree(held.folder, held.folder.with_name("under another name"))
    zip_folder(held.folder, held.folder.with_name("product.zip"))
    home = held.world.domain.home
    home.rename(home.with_name("out of reach"))
    for path in (held.folder, held.folder.with_name("under another name"), held.folder.with_name("product.zip")):
        found = held.verify(path)
        assert found.manifest["product"] == "visits_by_district"
        assert found.log_size > 0
    assert held.verify(held.other).manifest["release"] != held.verify().manifest["release"]


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    path.write_text(after, encoding="utf-8")


def change_a_data_byte(held: Held) -> None:
    path = held.folder / DATA / "data.csv"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def append_to_data(held: Held) -> None:
    with (held.folder / DATA / "data.csv").open("ab") as stream:
        stream.write(b"x")


def exchange_two_files(held: Held) -> None:
    first, second, between = (held.folder / DATA / name for name in ("data.csv", "card.json", "between"))
    first.rename(between)
    second.rename(first)
    between.rename(second)


def take_the_other_releases_data(held: Held) -> None:
    edit(held.folder / DATA / "data.csv", lambda text: text.replace("12", "13"))


def add_a_file(held: Held) -> None:
    (held.folder / DATA / "more.csv").write_text("a\n")


def add_a_hidden_file(held: Held) -> None:
    (held.folder / ".hidden").write_text("a\n")


def add_a_file_in_a_folder(held: Held) -> None:
    (held.folder / DATA / "deep").mkdir()
    (held.folder / DATA / "deep" / "data.csv").write_text("a\n")


def remove_a_file(held: Held) -> None:
    (held.folder / DATA / "card.json").unlink()


def remove_the_manifest(held: Held) -> None:
    (held.folder / MANIFEST).unlink()


def remove_the_signature(held: Held) -> None:
    (held.folder / SIGNATURE).unlink()


def remove_the_proof(held: Held) -> None:
    (held.folder / PROOF).unlink()


def change_the_recipient(held: Held) -> None:
    edit(held.folder / MANIFEST, lambda text: text.replace("medica", "rivalc"))


def write_the_manifest_another_way(held: Held) -> None:
    path = held.folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, indent=1), encoding="utf-8")


def sign(held: Held, signer: Signer) -> None:
    (held.folder / SIGNATURE).write_text(signer.sign(statement((held.folder / MANIFEST).read_bytes())))


def sign_with_a_key_of_the_same_name(held: Held) -> None:
    change_the_recipient(held)
    sign(held, Signer.generate(f"{NAME}/release"))


def sign_with_the_logs_key(held: Held) -> None:
    change_the_recipient(held)
    sign(held, held.world.domain.log.signer)


def take_the_other_releases_signature(held: Held) -> None:
    shutil.copyfile(held.other / SIGNATURE, held.folder / SIGNATURE)


def put_two_signatures_of_other_keys(held: Held) -> None:
    path = held.folder / SIGNATURE
    note = path.read_text()
    mine = Signer.generate(f"{NAME}/release").sign(note.partition("\n\n")[0] + "\n").rpartition("\n\n")[2]
    path.write_text(note.rpartition("\n\n")[0] + "\n\n" + mine * 2)


def garble_the_signature(held: Held) -> None:
    (held.folder / SIGNATURE).write_bytes(b"\xff\xfe\x00")


def take_the_other_releases_proof(held: Held) -> None:
    shutil.copyfile(held.other / PROOF, held.folder / PROOF)


def prove_another_entry(held: Held) -> None:
    """The approval of this very export: in the log, about this release, and no release."""
    with held.world.domain.read() as connection:
        identity = json.loads((held.folder / MANIFEST).read_bytes())["release"]
        about = held.world.domain.log.about(connection, identity)
        (approved,) = [entry for entry in about if entry.kind is Kind.EXPORT_APPROVED]
        (held.folder / PROOF).write_text(prove(connection, approved.seq).text)


def sign_the_checkpoint_with_another_logs_key(held: Held) -> None:
    path = held.folder / PROOF
    proof = Proof.parse(path.read_text())
    body = proof.checkpoint.partition("\n\n")[0] + "\n"
    forged = Proof(proof.header, proof.index, proof.path, Signer.generate(f"{NAME}/log").sign(body))
    path.write_text(forged.text)


def prove_in_a_log_of_ones_own(held: Held) -> None:
    """A log with a header that names a manifest of one's own, signed with a key under the domain's name."""
    from lineage import merkle
    from lineage.note import Checkpoint

    proof = Proof.parse((held.folder / PROOF).read_text())
    signer = Signer.generate(f"{NAME}/log")
    note = signer.sign(Checkpoint(signer.name, 1, merkle.leaf_hash(proof.header)).text)
    (held.folder / PROOF).write_text(Proof(proof.header, 0, (), note).text)


def take_an_older_checkpoint(held: Held) -> None:
    """A true checkpoint of this log, from before the release was in it."""
    from sqlalchemy import select

    from lineage.schema import log_checkpoint

    path = held.folder / PROOF
    proof = Proof.parse(path.read_text())
    with held.world.domain.read() as connection:
        notes = connection.execute(select(log_checkpoint.c.note).order_by(log_checkpoint.c.size)).scalars()
        older = bytes(next(iter(notes))).decode()
    path.write_text(Proof(proof.header, proof.index, proof.path, older).text)


def change_the_header(held: Held) -> None:
    path = held.folder / PROOF
    proof = Proof.parse(path.read_text())
    header = proof.header.replace(b"2026", b"2027")
    assert header != proof.header
    path.write_text(Proof(header, proof.index, proof.path, proof.checkpoint).text)


def change_the_index(held: Held) -> None:
    path = held.folder / PROOF
    proof = Proof.parse(path.read_text())
    path.write_text(Proof(proof.header, proof.index - 1, proof.path, proof.checkpoint).text)


def cut_the_path(held: Held) -> None:
    path = held.folder / PROOF
    proof = Proof.parse(path.read_text())
    assert proof.path
    path.write_text(Proof(proof.header, proof.index, proof.path[:-1], proof.checkpoint).text)


def truncate_the_proof(held: Held) -> None:
    path = held.folder / PROOF
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def truncate_the_checkpoint(held: Held) -> None:
    path = held.folder / PROOF
    path.write_bytes(path.read_bytes()[:-20])


def empty_the_proof(held: Held) -> None:
    (held.folder / PROOF).write_text("")


def link_to_the_same_bytes(held: Held) -> None:
    path = held.folder / DATA / "data.csv"
    shutil.move(path, held.foreign / "data.csv")
    path.symlink_to(held.foreign / "data.csv")


def link_out_of_the_folder(held: Held) -> None:
    (held.folder / DATA / "passwd").symlink_to("/etc/passwd")


def link_to_a_folder(held: Held) -> None:
    shutil.move(held.folder / DATA, held.foreign / "data")
    (held.folder / DATA).symlink_to(held.foreign / "data")


def link_to_nothing(held: Held) -> None:
    (held.folder / "nothing").symlink_to("nowhere")


def put_a_pipe(held: Held) -> None:
    """Opening it would wait for ever."""
    os.mkfifo(held.folder / DATA / "pipe")


Tamper = Callable[[Held], None]
TAMPERINGS: tuple[tuple[Tamper, str], ...] = (
    (change_a_data_byte, "release.file-changed"),
    (append_to_data, "release.file-changed"),
    (exchange_two_files, "release.file-changed"),
    (take_the_other_releases_data, "release.file-changed"),
    (add_a_file, "release.extra-file"),
    (add_a_hidden_file, "release.extra-file"),
    (add_a_file_in_a_folder, "release.extra-file"),
    (remove_a_file, "release.file-missing"),
    (remove_the_manifest, "release.file-missing"),
    (remove_the_signature, "release.file-missing"),
    (remove_the_proof, "release.file-missing"),
    (change_the_recipient, "release.manifest-changed"),
    (write_the_manifest_another_way, "release.manifest-changed"),
    (sign_with_a_key_of_the_same_name, "log.bad-signature"),
    (sign_with_the_logs_key, "log.bad-signature"),
    (take_the_other_releases_signature, "release.manifest-changed"),
    (put_two_signatures_of_other_keys, "log.bad-signature"),
    (garble_the_signature, "log.bad-note"),
    (take_the_other_releases_proof, "release.proof-of-another"),
    (prove_another_entry, "release.proof-of-another"),
    (sign_the_checkpoint_with_another_logs_key, "log.bad-signature"),
    (prove_in_a_log_of_ones_own, "log.bad-signature"),
    (take_an_older_checkpoint, "log.not-included"),
    (change_the_header, "log.not-included"),
    (change_the_index, "log.not-included"),
    (cut_the_path, "log.not-included"),
    (truncate_the_proof, "log.bad-proof"),
    (truncate_the_checkpoint, "log.bad-note"),
    (empty_the_proof, "log.bad-proof"),
    (link_to_the_same_bytes, "release.extra-file"),
    (link_out_of_the_folder, "release.extra-file"),
    (link_to_a_folder, "release.extra-file"),
    (link_to_nothing, "release.extra-file"),
    (put_a_pipe, "release.extra-file"),
)
tampered = pytest.mark.parametrize(("tamper", "code"), TAMPERINGS, ids=[tamper.__name__ for tamper, _ in TAMPERINGS])


@tampered
def test_a_changed_folder_does_not_hold(held: Held, tamper: Tamper, code: str) -> None:
    held.verify()
    tamper(held)
    with refused(GateRefusedError, code):
        held.verify()


ZIPPED = [
    (tamper, code) for tamper, code in TAMPERINGS if "link" not in tamper.__name__ and "pipe" not in tamper.__name__
]


@pytest.mark.parametrize(("tamper", "code"), ZIPPED, ids=[tamper.__name__ for tamper, _ in ZIPPED])
def test_a_changed_archive_does_not_hold(held: Held, tamper: Tamper, code: str) -> None:
    tamper(held)
    zip_folder(held.folder, held.foreign / "product.zip")
    with refused(GateRefusedError, code):
        held.verify(held.foreign / "product.zip")


def entries(held: Held) -> list[tuple[str, bytes]]:
    return [
        (path.relative_to(held.folder).as_posix(), path.read_bytes())
        for path in sorted(held.folder.rglob("*"))
        if path.is_file()
    ]


def write_zip(path: Path, named: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in named:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def test_a_further_signature_takes_nothing_away(held: Held) -> None:
    """The one thing that may be added: a witness, or a national algorithm, signs beside the domain (D9)."""
    for name in (SIGNATURE, PROOF):
        path = held.folder / name
        note = path.read_text()
        body = note.rpartition("\n\n")[0].rpartition("\n\n")[2] + "\n"
        path.write_text(note + Signer.generate("witness.example").sign(body).rpartition("\n\n")[2])
    held.verify()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("evil_first", [True, False])
def test_a_name_twice_does_not_hold(held: Held, evil_first: bool) -> None:
    """One reader takes the first of two, another the last: what was verified would not be what is used."""
    evil = [("data/data.csv", b"forged\n")]
    named = evil + entries(held) if evil_first else entries(held) + evil
    with refused(GateRefusedError, "release.not-found"):
        held.verify(write_zip(held.foreign / "twice.zip", named))


@pytest.mark.parametrize(
    "name", ["../escaped", "/etc/evil", "data/../../escaped", "data\\evil", "C:evil", "DATA/data.csv"]
)
def test_a_name_that_leads_elsewhere_does_not_hold(held: Held, name: str) -> None:
    with refused(GateRefusedError, "release.extra-file"):
        held.verify(write_zip(held.foreign / "odd.zip", [*entries(held), (name, b"x")]))


def patch_sizes(path: Path, size: int) -> None:
    """Let every header of an archive with one entry more claim another size for its last entry."""
    data = bytearray(path.read_bytes())
    central = data.rfind(b"PK\x01\x02")
    (local,) = struct.unpack_from("<I", data, central + 42)
    struct.pack_into("<I", data, central + 24, size)
    struct.pack_into("<I", data, local + 22, size)
    path.write_bytes(data)


def test_a_bomb_is_not_opened(held: Held) -> None:
    path = write_zip(held.foreign / "bomb.zip", [*entries(held), ("data/zeros", b"\0" * 1000)])
    patch_sizes(path, (1 << 32) - 2)
    with refused(GateRefusedError, "release.not-found"):
        held.verify(path)


def test_a_bomb_that_claims_to_be_small_is_not_opened_further_than_it_claims(held: Held) -> None:
    path = write_zip(held.foreign / "bomb.zip", [*entries(held), ("data/zeros", b"\0" * (64 << 20))])
    assert path.stat().st_size < 200_000
    patch_sizes(path, 10)
    with refused(GateRefusedError, "release.not-found"):
        held.verify(path)


def set_flag(data: bytearray, central: int, local: int) -> None:
    data[central + 8] |= 1
    data[local + 6] |= 1


def set_method(data: bytearray, central: int, local: int) -> None:
    struct.pack_into("<H", data, central + 10, 77)
    struct.pack_into("<H", data, local + 8, 77)


def spoil_stream(data: bytearray, central: int, local: int) -> None:
    (name,) = struct.unpack_from("<H", data, local + 26)
    data[local + 30 + name] ^= 0xFF


def move_header(data: bytearray, central: int, local: int) -> None:
    struct.pack_into("<I", data, central + 42, len(data) * 2)


def claim_a_version(data: bytearray, central: int, local: int) -> None:
    struct.pack_into("<H", data, central + 6, 999)


@pytest.mark.parametrize(
    "spoil", [set_flag, set_method, spoil_stream, move_header, claim_a_version], ids=lambda spoil: spoil.__name__
)
def test_an_archive_that_cannot_be_read_is_refused_and_not_a_crash(
    held: Held, spoil: Callable[[bytearray, int, int], None]
) -> None:
    path = write_zip(held.foreign / "spoilt.zip", entries(held))
    data = bytearray(path.read_bytes())
    central = data.rfind(b"PK\x01\x02")
    (local,) = struct.unpack_from("<I", data, central + 42)
    spoil(data, central, local)
    path.write_bytes(data)
    with refused(GateRefusedError, "release.not-found"):
        held.verify(path)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_archive_is_refused(held: Held, part: float) -> None:
    path = write_zip(held.foreign / "cut.zip", entries(held))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with refused(GateRefusedError, "release.not-found"):
        held.verify(path)


def test_nothing_is_no_release(held: Held) -> None:
    with refused(GateRefusedError, "release.not-found"):
        held.verify(held.foreign / "nothing")


def test_the_two_keys_do_not_stand_for_each_other(held: Held) -> None:
    log_key, release_key = read_public_keys(held.pub)
    with refused(GateRefusedError, "log.bad-signature"):
        verify_release(held.folder, release_key, log_key)
    with refused(GateRefusedError, "log.bad-signature"):
        verify_release(held.folder, release_key, release_key)


def test_another_domains_keys_do_not_hold(held: Held) -> None:
    for name in (NAME, "other.example"):
        log_key, release_key = (Signer.generate(f"{name}/{purpose}").verifier for purpose in ("log", "release"))
        with refused(GateRefusedError, "log.bad-signature"):
            verify_release(held.folder, log_key, release_key)


def test_a_proof_spelt_another_way_does_not_hold(held: Held) -> None:
    """No bit of a release is free: base64 with spare bits set says the same bytes and is refused."""
    path = held.folder / PROOF
    lines = path.read_text().split("\n")
    for number, line in enumerate(lines):
        if line.endswith("=") and line.strip("=")[-1] not in "/+":
            padded = line.rstrip("=")
            spare = padded[:-1] + chr(ord(padded[-1]) + 1) + line[len(padded) :]
            text = line.removeprefix("extra ")
            if base64.b64decode(spare.removeprefix("extra ")) == base64.b64decode(text):
                lines[number] = spare
                break
    else:
        pytest.fail("nothing to spell another way")
    path.write_text("\n".join(lines))
    with pytest.raises(GateRefusedError):
        held.verify()
