"""The key tree on the command line: what there is, and a new root or tenant key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from console.door import door


def list_all() -> None:
    """List the keys with generation and age; never a key."""
    from sandbox.rotation import list_keys

    here = door()
    found = list_keys(here.domain, here.session)
    here.give_rows(
        ["purpose", "generation", "under", "made", "days"],
        [(one.purpose, one.generation, one.under, one.made, one.days) for one in found],
    )


def rotate(what: str) -> None:
    """Take a new key into use: ``root``, or a tenant's name."""
    from sandbox.keys import ROOT
    from sandbox.rotation import rotate_root, rotate_tenant

    here = door()
    if what == ROOT:
        done = rotate_root(here.domain, here.session)
        here.say("done.root-rotated", old=done.old, new=done.new, rewrapped=done.rewrapped)
    else:
        done = rotate_tenant(here.domain, here.session, what)
        here.say("done.tenant-rotated", tenant=what, old=done.old, new=done.new, rewrapped=done.rewrapped)
    here.give({"key": what, "old": done.old, "new": done.new, "rewrapped": done.rewrapped})


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_all, "rotate": rotate}
