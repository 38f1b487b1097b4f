"""The domain itself on the command line: open one, play the demo, supervise, check the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from console.commands.selftest import file_at_start, selftest
from console.door import door
from lineage.errors import ShuzhaError


if TYPE_CHECKING:
    from console.door import Door
    from jobs.runs import Lane


def init(
    name: Annotated[str, typer.Option()],
    title: Annotated[str, typer.Option()],
    login: Annotated[str, typer.Option()],
    officer: Annotated[str, typer.Option()],
    registrar_login: Annotated[str, typer.Option()],
    registrar: Annotated[str, typer.Option()],
    database: Annotated[str, typer.Option()] = "",
    root_keys: Annotated[str, typer.Option()] = "file",
    storage: Annotated[str, typer.Option()] = "gocryptfs",
) -> None:
    """Open a new domain with its authority, first officer and first registrar."""
    from console.tokens import keep_token
    from sandbox.domain import create
    from sandbox.parties import check_founding, found_authority

    here = door()
    founding = {"title": title, "login": login, "officer": officer}
    founding |= {"registrar_login": registrar_login, "registrar": registrar}
    check_founding(**founding)
    domain = create(here.home, name, url=database or None, storage=storage, root_keys=root_keys)
    founded = found_authority(domain, name=name.partition(".")[0], **founding)
    files = keep_token(here.home, login, founded.officer), keep_token(here.home, registrar_login, founded.registrar)
    here.say("done.opened", home=str(here.home), login=login, registrar=registrar_login)
    here.give(
        {
            "home": str(here.home),
            "login": login,
            "token_file": str(files[0]),
            "registrar": registrar_login,
            "registrar_token_file": str(files[1]),
            "public_key": str(here.home / "public/domain.pub"),
        }
    )


def demo(
    scale: Annotated[int, typer.Option(min=2000, max=5_000_000)] = 50_000,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Play a city in a new domain, and leave it there to explore."""
    from console.demo.story import play

    here = door()
    if not here.home_named:
        here.home = _free_folder(here.home.parent)
    play(here, scale=scale, seed=seed)


def _free_folder(parent: Path) -> Path:
    """Choose the first folder that is not there yet: a demo is a new city each time, and the last one stays to explore."""
    candidates = (parent / f"shuzha-demo{f'-{number}' if number > 1 else ''}" for number in range(1, 1000))
    return next(folder for folder in candidates if not folder.exists())


def supervise(once: Annotated[bool, typer.Option()] = False) -> None:
    """Carry out queued runs, each tenant's apart, until stopped; --once ends when the queues are empty."""
    import signal

    from jobs.jail.pool_settings import pooled
    from jobs.supervisor import Supervisor, supervisor_lock
    from lineage.errors import MissingPartError
    from sandbox.engine import jars_folder
    from sandbox.housekeeping import housekeeping, keep_house

    here = door()
    with supervisor_lock(here.domain) as mine:
        if not mine:
            raise MissingPartError("supervisor.taken")
        file_at_start(here)
        # Warm jails are for who stays: one pass would be over before they are ready.
        warm = {**here.domain.settings, "warm": []} if once else here.domain.settings
        with pooled(here.jail, warm, here.domain.home / "run" / "warm", jars_folder()) as jail:
            supervisor = Supervisor(here.domain, jail, jars_folder(), trouble=partial(_say_trouble, here))
            # What a service manager sends first; what works is ended in the order that a crash could not keep.
            signal.signal(signal.SIGTERM, lambda *_: supervisor.stop())
            if once:
                keep_house(here.domain)
                here.give({"started": supervisor.drain()})
                return
            with housekeeping(here.domain, lambda error: here.say("housekeeping.trouble", kind=error.code)):
                supervisor.serve()


def _say_trouble(here: Door, lane: Lane, error: Exception) -> None:
    """Tell the maintainer of a lane in which the platform itself failed: its kind alone, for a trace can hold data (law 8)."""
    kind = error.code if isinstance(error, ShuzhaError) else type(error).__name__
    here.say("supervisor.trouble", tenant=lane.tenant, stage=f"label.stage.{lane.stage}", kind=kind)


def check(home: Annotated[Path | None, typer.Argument()] = None) -> None:
    """List every part that is needed, what was found, and what is missing."""
    from console.parts import find_parts
    from lineage.errors import MissingPartError

    here = door()
    found = find_parts(home or here.home)
    here.give_rows(
        ["part", "found", "needed_for", "fix"],
        [
            (one.name, one.found or here.label("label.missing"), one.needed_for, "" if one.found else one.fix)
            for one in found
        ],
    )
    missing = [one.name for one in found if one.needed and not one.found]
    if missing:
        raise MissingPartError("parts.missing", parts=", ".join(missing))


def upgrade() -> None:
    """Bring the database of an older version to this program's; refused while somebody supervises runs."""
    import fcntl

    from lineage.errors import MissingPartError
    from sandbox.upgrading import upgrade_domain

    here = door()
    (here.home / "run").mkdir(mode=0o700, exist_ok=True)
    with (here.home / "run" / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MissingPartError("supervisor.taken") from error
        done = upgrade_domain(here.home)
    here.say("done.upgraded", before=done.before, now=done.now, kept=str(done.kept or "-"))
    here.give({"from": done.before, "to": done.now, "kept": str(done.kept) if done.kept else None})


TOP: Mapping[str, Callable[..., None]] = {"init": init, "demo": demo, "supervise": supervise, "selftest": selftest}
CONFIG: Mapping[str, Callable[..., None]] = {"check": check, "upgrade": upgrade}
