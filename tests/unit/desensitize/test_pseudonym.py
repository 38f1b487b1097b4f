from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.hashes import SM3, Hash

from desensitize.entities import Entity
from desensitize.pseudonym import ScenarioKeys, tokens
from lineage.errors import MissingPartError


TENANT = bytes(range(32))
KEYS = ScenarioKeys.derive(TENANT, tenant="T-1", scenario="S-1")


def sm3(data: bytes) -> bytes:
    digest = Hash(SM3())
    digest.update(data)
    return digest.finalize()


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """RFC 2104 written out, so that the token is checked against the standard and not against the library's HMAC."""
    block = key.ljust(64, b"\0")
    return sm3(bytes(b ^ 0x5C for b in block) + sm3(bytes(b ^ 0x36 for b in block) + data))


def hkdf_sm3(key: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block: extract with an empty salt, expand once."""
    return hmac_sm3(hmac_sm3(bytes(32), key), info + b"\1")


def token(value: str | None, entity: Entity, keys: ScenarioKeys = KEYS) -> str | None:
    result: str | None = tokens(pa.array([value], pa.string()), entity, keys)[0].as_py()
    return result


def test_sm3_is_the_standards() -> None:
    assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_a_token_is_half_an_hmac_under_a_key_of_tenant_scenario_version_and_class() -> None:
    scenario = hkdf_sm3(TENANT, b'["shuzha","token","T-1","S-1",1]')
    key = hkdf_sm3(scenario, b'["shuzha","class","mobile"]')
    assert token("13812345678", Entity.MOBILE) == hmac_sm3(key, b"13812345678")[:16].hex()


@pytest.mark.parametrize("empty", [None, "", "  ", "\u3000"])
def test_no_value_has_no_token(empty: str | None) -> None:
    assert token(empty, Entity.NAME) is None


def test_a_key_is_not_shown() -> None:
    for text in (repr(KEYS), str(KEYS), f"{KEYS}"):
        assert text == "ScenarioKeys(version=1)"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(MissingPartError, match="key-missing"):
        ScenarioKeys.derive(bytes(size), tenant="T", scenario="S")
    with pytest.raises(MissingPartError, match="key-missing"):
        ScenarioKeys(bytes(size), bytes(range(32)))


def test_one_key_for_both_purposes_is_refused() -> None:
    with pytest.raises(MissingPartError, match="key-missing"):
        ScenarioKeys(TENANT, TENANT)


def test_no_two_scopes_share_a_key() -> None:
    scopes = [("T", "S", 1), ("T", "S", 2), ("TS", "", 1), ("", "TS", 1), ('T","S', "x", 1), ("T", 'S","x', 1)]
    made = [ScenarioKeys.derive(TENANT, tenant=tenant, scenario=scenario, version=v) for tenant, scenario, v in scopes]
    every = [key for keys in made for key in (keys.token_key, keys.sample_key, *(keys.of(entity) for entity in Entity))]
    assert len(set(every)) == len(every)


def test_keys_reach_a_worker_whole() -> None:
    assert pickle.loads(pickle.dumps(KEYS)) == KEYS  # noqa: S301
