"""The jails that a domain may choose between: ``jail`` in its ``domain.toml``, one table from name to jail (law 7).

What a jail really isolates is never read off its name: each tells it in its capability record, found out on this machine or cluster,
and ``jobs.jail_policy`` asks that record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from jobs.jail.bubblewrap import BubblewrapJail
from jobs.jail.pod import PodJail
from jobs.jail.pod_settings import read_cluster
from jobs.jail.runsc import RunscJail
from jobs.jail.spec import Capability, Jail
from jobs.jail.unjailed import UnjailedJail, check_unit_tests
from lineage.errors import MissingPartError, ShuzhaError


DEFAULT: Final = "bwrap"
UNJAILED: Final = "none"

BACKENDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Jail]]] = MappingProxyType(
    {
        "bwrap": lambda _settings: BubblewrapJail(),
        "runsc": lambda _settings: RunscJail(),
        "k8s-pod": lambda settings: PodJail(read_cluster(settings)),
        UNJAILED: lambda _settings: UnjailedJail(),
    }
)


def jail_of(settings: Mapping[str, Any]) -> Jail:
    """Give the jail that the settings of a domain name.

    Raises:
        MissingPartError: nobody knows it, a setting that it needs is missing, or it is ``none`` outside unit tests.
    """
    name = name_of(settings)
    if name == UNJAILED:
        check_unit_tests()
    return BACKENDS[name](settings)


def name_of(settings: Mapping[str, Any]) -> str:
    """Give the name of the chosen jail.

    Raises:
        MissingPartError: nobody knows it; a name that is written wrongly must not become the default.
    """
    name = settings.get("jail", DEFAULT)
    if not isinstance(name, str) or name not in BACKENDS:
        raise MissingPartError("jail.unknown-backend", name=ascii(name)[:40], known=", ".join(sorted(BACKENDS)))
    return name


def survey(settings: Mapping[str, Any]) -> Mapping[str, Capability]:
    """Tell of every jail, chosen or not, what this machine has and lacks for it; never raises (``shuzha config check``)."""
    return {name: _capability(name, settings) for name in BACKENDS if name != UNJAILED}


def _capability(name: str, settings: Mapping[str, Any]) -> Capability:
    try:
        return BACKENDS[name](settings).capability()
    except ShuzhaError as error:
        told = str(error.params.get("detail", error.params.get("key", error.code)))
        return Capability(network=False, files=False, uid=False, limits=False, kernel=False, missing=(told,))
