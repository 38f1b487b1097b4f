"""The demo: a city played in a new domain, act by act, by the right persons through the same operations as the commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from console.demo.acts_data import AUTHORITY, OFFICER, PERSONS, REGISTRAR, ask_for_data, import_data, open_domain
from console.demo.acts_end import audit, end, release_products
from console.demo.acts_work import develop, look, produce
from console.demo.play import Play
from console.door import Door
from export_gate.exports import Export, get_export
from lineage.verify import verify
from sandbox.engine import jars_folder, spark_session
from sandbox.roles import Role


ACTS: Mapping[str, Callable[[Play], None]] = {
    "opening": open_domain,
    "data": import_data,
    "asking": ask_for_data,
    "looking": look,
    "developing": develop,
    "producing": produce,
    "releasing": release_products,
    "auditing": audit,
    "ending": end,
}


def play(door: Door, *, scale: int, seed: int) -> Play:
    """Play all acts in the door's home folder, which must hold no domain yet; gives what was played."""
    performance = Play(door, scale, seed)
    started = monotonic()
    # The JVM starts while the first act is played; whoever asks for the session next waits for this start.
    starting = threading.Thread(target=spark_session, args=(jars_folder(),), daemon=True)
    starting.start()
    performance.before["data"] = starting.join
    for number, (name, act) in enumerate(ACTS.items(), 1):
        with performance.step(name, number):
            performance.before.get(name, _nothing)()
            act(performance)
    performance.seconds["total"] = round(monotonic() - started, 2)
    home = performance.stage.home
    performance.tell("story.left-there", f"shuzha export list --home {home} --as {OFFICER}", home=str(home))
    performance.tell("story.logins", "", logins=", ".join([OFFICER, REGISTRAR, *PERSONS]))
    performance.finish(summary(performance))
    return performance


def _nothing() -> None:
    """Nothing to wait for."""


def summary(performance: Play) -> dict[str, Any]:
    """Give the last object of ``shuzha demo --json``."""
    stage = performance.stage
    with stage.read() as connection:
        exports = [get_export(connection, one.id) for one in performance.facts["exports"].values()]
        log = verify(connection, stage.log.signer.verifier, [stage.log.checkpoint_file.read_text()])
    organisations = {login: organisation for login, (organisation, _) in PERSONS.items()}
    roles = {login: role for login, (_, role) in PERSONS.items()}
    roles |= {OFFICER: Role.AUTHORITY_OFFICER, REGISTRAR: Role.REGISTRAR}
    return {
        "home": str(stage.home),
        "persons": [
            {
                "name": login,
                "role": role.value,
                "organisation": organisations.get(login, AUTHORITY),
                "token_file": str(stage.home / "tokens" / f"{login}.token"),
            }
            for login, role in roles.items()
        ],
        "exports": [_export(performance, one) for one in exports],
        "log": {"size": log.size, "root": log.root},
        "seconds": performance.seconds,
    }


def _export(performance: Play, found: Export) -> dict[str, Any]:
    release = performance.stage.home / "releases" / found.id
    return {
        "id": found.id,
        "product": found.product,
        "kind": found.kind,
        "verdict": found.verdict,
        "reasons": [dict(one) for one in found.reasons],
        "release": str(release) if release.exists() else None,
    }
