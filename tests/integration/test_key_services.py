"""The key service on a real PKCS#11 token (SoftHSM2) and over the Transit API: keys never leave it, and without it nothing opens (D9)."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from lineage.errors import MissingPartError
from sandbox.domain import create, open_domain
from sandbox.keys import KeyStore
from sandbox.keys_kms import KmsKeys
from sandbox.keys_rotating import drop_old_roots, rotate_root, rotate_tenant
from sandbox.keys_service import KeyService, key_service
from tests.factories import refused


MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, LABEL, STORE = "48151623", "shuzha test", "shuzha-0123456789abcdef"

needs_softhsm = pytest.mark.skipif(
    not MODULE.exists() or shutil.which("softhsm2-util") is None, reason="SoftHSM2 is not installed"
)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A token of this module's own; the library reads its configuration once a process."""
    pytest.importorskip("pkcs11")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    (folder / "pin").write_text(PIN)
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    init = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", PIN]
    subprocess.run(init, check=True, capture_output=True)
    yield folder
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def pkcs11_setting(folder: Path, *, label: str = LABEL, pin: str = "pin") -> str:
    return f"pkcs11:token={label.replace(' ', '%20')}?module-path={MODULE}&pin-source=file:{folder / pin}"


@dataclass
class Transit:
    """A strict stand-in for the Transit engine: real AES-256 keys, and the answers that OpenBao documents for what we ask."""

    token: str = "s.0123456789"
    keys: dict[str, bytes] = field(default_factory=dict)
    deletable: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    sealed: bool = False
    redirect: str = ""
    keeps: bool = False

    def answer(self, method: str, path: str, told: dict[str, Any], token: str | None) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != self.token:
            return 403, {"errors": ["permission denied"]}
        words = path.removeprefix("/v1/transit/").split("/")
        if (method, path) == ("GET", "/v1/transit/keys?list=true"):
            return (200, {"data": {"keys": sorted(self.keys)}}) if self.keys else (404, {"errors": []})
        handlers: dict[str, Callable[[str, str, list[str], dict[str, Any]], tuple[int, dict[str, Any]]]] = {
            "keys": self._keys,
            "encrypt": self._encrypt,
            "decrypt": self._decrypt,
        }
        return handlers[words[0]](method, words[1], words[2:], told)

    def _keys(self, method: str, name: str, rest: list[str], told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "POST" and not rest:
            assert told == {"type": "aes256-gcm96", "exportable": False, "allow_plaintext_backup": False}
            self.keys.setdefault(name, os.urandom(32))
            return 200, {"data": {"name": name}}
        if name not in self.keys:
            return 404, {"errors": []}
        if rest == ["config"]:
            assert told == {"deletion_allowed": True}
            self.deletable.add(name)
            return 204, {}
        if method == "DELETE":
            if name not in self.deletable:
                return 400, {"errors": ["deletion is not allowed for this key"]}
            if not self.keeps:
                del self.keys[name]
            return 204, {}
        return 200, {"data": {"name": name, "type": "aes256-gcm96"}}

    def _encrypt(self, method: str, name: str, rest: list[str], told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert (method, rest) == ("POST", [])
        key = self.keys.setdefault(name, os.urandom(32))  # as Transit does: a key that is not there is made
        plain, bound = (base64.b64decode(told[one], validate=True) for one in ("plaintext", "associated_data"))
        nonce = os.urandom(12)
        text = base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plain, bound)).decode()
        return 200, {"data": {"ciphertext": f"vault:v1:{text}", "key_version": 1}}

    def _decrypt(self, method: str, name: str, rest: list[str], told: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert (method, rest) == ("POST", [])
        if name not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        prefix, _, text = str(told["ciphertext"]).rpartition(":")
        try:
            sealed = base64.b64decode(text, validate=True)
            bound = base64.b64decode(told["associated_data"], validate=True)
            plain = AESGCM(self.keys[name]).decrypt(sealed[:12], sealed[12:], bound)
        except (InvalidTag, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        assert prefix == "vault:v1"
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


@dataclass
class Served:
    """A Transit engine on loopback with TLS, and the files that the settings name."""

    engine: Transit
    base: str
    folder: Path

    @property
    def setting(self) -> str:
        return f"kms:{self.base}?token-file={self.folder / 'token'}&ca-file={self.folder / 'ca.pem'}"


def certificate(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kms")])
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    made = (
        x509.CertificateBuilder(called, called, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    engine, folder = Transit(), tmp_path / "kms"
    folder.mkdir()
    for name in ("ca", "other"):
        certificate(folder, name)
    (folder / "token").write_text(engine.token)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            told = json.loads(self.rfile.read(size)) if size else {}
            code, answer = engine.answer(self.command, self.path, told, self.headers.get("X-Vault-Token"))
            body = b"" if code == 204 else json.dumps(answer).encode()
            if engine.redirect:
                code = 307
            self.send_response(code)
            if engine.redirect:
                self.send_header("Location", engine.redirect)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the standard library's names

        def log_message(self, *_about: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "ca.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Served(engine, f"https://127.0.0.1:{server.server_port}/v1/transit", folder)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=[pytest.param("pkcs11", marks=needs_softhsm), "kms"])
def setting(request: pytest.FixtureRequest) -> str:
    if request.param == "pkcs11":
        return pkcs11_setting(request.getfixturevalue("token"))
    served: Served = request.getfixturevalue("served")
    return served.setting


def store_of(tmp_path: Path, setting: str) -> KeyStore:
    store = f"shuzha-{os.urandom(8).hex()}"
    service = key_service(setting, store=store, roots=tmp_path / "no-roots", ends=tmp_path / "no-ends")
    return KeyStore(tmp_path / "keys", service)


@pytest.fixture
def service(setting: str, tmp_path: Path) -> KeyService:
    return store_of(tmp_path, setting).service


def test_what_is_wrapped_is_unwrapped_for_its_purpose_alone(service: KeyService) -> None:
    service.make("root-1")
    service.make("root-2")
    sealed = service.wrap("root-1", b"k" * 32, b"purpose")
    assert b"k" * 32 not in sealed
    assert service.unwrap("root-1", sealed, b"purpose") == b"k" * 32
    for name, data, bound in (
        ("root-1", sealed, b"another"),
        ("root-2", sealed, b"purpose"),
        ("root-1", sealed[:-4] + b"AAA=", b"purpose"),
        ("root-1", sealed[:20], b"purpose"),
        ("root-1", b"", b"purpose"),
    ):
        with refused(MissingPartError, "key.does-not-open"):
            service.unwrap(name, data, bound)


def test_making_again_keeps_the_key(service: KeyService) -> None:
    service.make("root-1")
    sealed = service.wrap("root-1", b"k" * 32, b"")
    service.make("root-1")
    assert service.unwrap("root-1", sealed, b"") == b"k" * 32
    assert service.names() == {"root-1"}


def test_a_destroyed_key_is_gone_and_does_not_come_back_by_use(service: KeyService) -> None:
    assert service.names() == frozenset()
    service.make("end-O-1")
    sealed = service.wrap("end-O-1", b"k" * 32, b"")
    assert service.destroy("end-O-1")
    assert not service.destroy("end-O-1")
    with refused(MissingPartError, "key.missing"):
        service.unwrap("end-O-1", sealed, b"")
    with refused(MissingPartError, "key.missing"):
        service.wrap("end-O-1", b"k" * 32, b"")
    assert service.names() == frozenset()
    service.make("end-O-1")
    with refused(MissingPartError, "key.does-not-open"):
        service.unwrap("end-O-1", sealed, b"")


def test_the_whole_tree_lives_above_it(setting: str, tmp_path: Path) -> None:
    keys = store_of(tmp_path, setting)
    keys.create()
    keys.write_seed("log", b"1" * 32)
    keys.create_tenant("O-1")
    keys.create_grant("O-1", "G-1")
    before = keys.zone_key("O-1", "G-1", "view"), keys.tenant_key("O-1"), keys.read_seed("log")
    rotate_root(keys)
    rotate_tenant(keys, "O-1")
    assert drop_old_roots(keys) == 1
    assert (keys.zone_key("O-1", "G-1", "view"), keys.tenant_key("O-1"), keys.read_seed("log")) == before
    copied = KeyStore(tmp_path / "copy", keys.service)
    shutil.copytree(keys.folder, copied.folder)
    keys.destroy_grant("G-1")
    for store in (keys, copied):
        with refused(MissingPartError, "key.missing"):
            store.zone_key("O-1", "G-1", "view")
    keys.destroy_tenant("O-1")
    with refused(MissingPartError, "key.missing"):
        copied.tenant_key("O-1")
    assert keys.left_of("O-1") == keys.left_of("G-1") == ()
    assert not (tmp_path / "no-roots").exists()
    assert not (tmp_path / "no-ends").exists()


def test_two_domains_on_one_service_do_not_meet(setting: str, tmp_path: Path) -> None:
    first, second = store_of(tmp_path / "1", setting), store_of(tmp_path / "2", setting)
    first.service.make("root-1")
    assert second.service.names() == frozenset()
    assert not second.service.destroy("root-1")
    assert first.service.names() == {"root-1"}


@pytest.mark.usefixtures("unit_storage")
def test_a_domain_opens_with_its_service_and_with_nothing_else(setting: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = create(home, "test.example", storage="none", root_keys=setting)
    assert open_domain(home).log.signer.verifier.encoded == made.log.signer.verifier.encoded
    settings = (home / "domain.toml").read_text()
    for other in ("file", "", "none", "pkcs11:", "kms:http://127.0.0.1/v1/transit?token-file=/x"):
        line = next(one for one in settings.splitlines() if one.startswith("root_keys"))
        (home / "domain.toml").write_text(settings.replace(line, f'root_keys = "{other}"'))
        with pytest.raises(MissingPartError) as caught:
            open_domain(home)
        assert caught.value.code in {"key.missing", "key.bad-setting"}
    assert not (home / "keys" / "roots").exists()


@needs_softhsm
class TestPkcs11:
    def test_the_keys_cannot_be_taken_from_the_token(self, token: Path, tmp_path: Path) -> None:
        import pkcs11
        from pkcs11 import Attribute
        from pkcs11.exceptions import AttributeSensitive, AttributeTypeInvalid

        service = store_of(tmp_path, pkcs11_setting(token)).service
        service.make("root-1")
        opened = pkcs11.lib(str(MODULE)).get_token(token_label=LABEL)
        with opened.open(user_pin=PIN) as session:
            (key,) = session.get_objects({Attribute.LABEL: f"{service.store}:root-1"})  # type: ignore[attr-defined]
            assert key[Attribute.SENSITIVE]
            assert not key[Attribute.EXTRACTABLE]
            assert key[Attribute.NEVER_EXTRACTABLE]
            with pytest.raises((AttributeSensitive, AttributeTypeInvalid)):
                key[Attribute.VALUE]

    @pytest.mark.parametrize("wrong", ["token", "pin", "no pin file", "no library"])
    def test_an_absent_or_locked_token_is_an_error(self, token: Path, tmp_path: Path, wrong: str) -> None:
        (token / "wrong-pin").write_text("00000000")
        settings = {
            "token": pkcs11_setting(token, label="another"),
            "pin": pkcs11_setting(token, pin="wrong-pin"),
            "no pin file": pkcs11_setting(token, pin="missing"),
            "no library": pkcs11_setting(token).replace(str(MODULE), str(tmp_path / "none.so")),
        }
        service = store_of(tmp_path, settings[wrong]).service
        for act in (service.names, lambda: service.make("root-1"), lambda: service.wrap("root-1", b"", b"")):
            with refused(MissingPartError, "key.service-down") as caught:
                act()
            assert "00000000" not in str(caught.value)

    def test_threads_share_the_token(self, token: Path, tmp_path: Path) -> None:
        service = store_of(tmp_path, pkcs11_setting(token)).service
        service.make("root-1")
        sealed = service.wrap("root-1", b"k" * 32, b"")
        found: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: found.extend(service.unwrap("root-1", sealed, b"") for _ in range(10)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert found == [b"k" * 32] * 40


class TestKms:
    def service(self, served: Served, **changed: Any) -> KmsKeys:
        about = {"base": served.base, "token": served.folder / "token", "authority": served.folder / "ca.pem"}
        return KmsKeys(**{**about, "store": STORE, **changed})

    def test_another_certificate_is_refused_before_the_token_is_sent(self, served: Served) -> None:
        with refused(MissingPartError, "key.service-down"):
            self.service(served, authority=served.folder / "other.pem").names()
        with refused(MissingPartError, "key.service-down"):
            self.service(served, authority=None).names()
        assert served.engine.asked == []

    def test_a_wrong_token_a_sealed_or_a_missing_server_is_an_error(self, served: Served, tmp_path: Path) -> None:
        service = self.service(served)
        service.make("root-1")
        (served.folder / "wrong").write_text("s.wrong")
        served_elsewhere = self.service(served, base="https://127.0.0.1:9/v1/transit")
        for other in (
            self.service(served, token=served.folder / "wrong"),
            self.service(served, token=tmp_path / "missing"),
            self.service(served, authority=tmp_path / "missing"),
            served_elsewhere,
        ):
            with refused(MissingPartError, "key.service-down"):
                other.wrap("root-1", b"", b"")
        served.engine.sealed = True
        with refused(MissingPartError, "key.service-down") as caught:
            service.wrap("root-1", b"", b"")
        assert caught.value.params["detail"] == "HTTP 503"
        assert served.engine.token not in str(caught.value)

    def test_no_redirect_is_followed(self, served: Served) -> None:
        served.engine.redirect = f"{served.base}/keys?list=true"
        with refused(MissingPartError, "key.service-down"):
            self.service(served).names()
        assert len(served.engine.asked) == 1

    def test_a_key_that_the_server_keeps_is_no_destroyed_key(self, served: Served) -> None:
        service = self.service(served)
        service.make("end-O-1")
        served.engine.keeps = True
        with refused(MissingPartError, "key.not-destroyed"):
            service.destroy("end-O-1")
