"""The gate's own jail: runs the worker on exactly the tables a product reads and takes back nothing but its result (law 1)."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.jail.runtimes import python_runtime, with_sources
from jobs.jail.spec import Ending, Jail, JailSpec, Limits
from lineage.errors import DefinitionError, MissingPartError
from sandbox.domain import Domain


GATE_UID = 199_999
"""The gate's uid outside the jail: no tenant's, no account's."""

LIMITS = Limits(memory_bytes=4096 << 20, seconds=15 * 60, cores=2, outbox_bytes=256 << 20, outbox_files=4)


@dataclass(frozen=True)
class Gatekeeper:
    """Starts workers for one domain."""

    domain: Domain
    jail: Jail

    def work(self, request: Mapping[str, Any], job: Path, tables: Mapping[str, Path]) -> dict[str, Any]:
        """Carry a request out on tables (input name → opened Delta folder); gives the worker's plain result.

        Raises:
            MissingPartError: the worker died or left no result: a check that could not run (law 7).
            DefinitionError: the description itself was refused.
        """
        name = f"gate-{secrets.token_hex(12)}"
        workspace = (self.domain.home / "run" / "work" / name).resolve()
        workspace.mkdir(mode=0o700, parents=True)
        try:
            spec = self._spec(name, workspace, request, job, tables)
            self.jail.prepare(spec)
            try:
                outcome = self.jail.run(spec, lambda: False)
                if outcome.ending is not Ending.DONE:
                    raise MissingPartError("gate.worker-died", ending=outcome.ending.value, log=_tail(outcome.log))
                collected = {item.name: item.path for item in self.jail.collect(spec, workspace / "taken")}
                result = json.loads(collected["result.json"].read_text(encoding="utf-8"))
            finally:
                self.jail.cleanup(spec)
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
        if "refused" in result:
            raise DefinitionError(result["refused"]["code"], **result["refused"]["params"])
        return dict(result)

    def _spec(
        self, name: str, workspace: Path, request: Mapping[str, Any], job: Path, tables: Mapping[str, Path]
    ) -> JailSpec:
        asked = workspace / "request"
        asked.mkdir(mode=0o755)
        (asked / "request.json").write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")
        frozen = workspace / "job"
        shutil.copytree(job, frozen)
        for path in (asked, *asked.rglob("*"), frozen, *frozen.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        runtime = with_sources(python_runtime(LIMITS.cores, LIMITS.memory_bytes))
        mounts = {f"/in/{table}": folder for table, folder in tables.items()}
        return JailSpec(
            name=name,
            workspace=workspace,
            uid=GATE_UID,
            argv=(*runtime.argv, "-m", "export_gate.worker"),
            environment=runtime.environment,
            read_only={**runtime.read_only, **mounts, "/job": frozen, "/request": asked},
            limits=LIMITS,
        )


def _tail(log: Path) -> str:
    """The last line of the worker's log, for the maintainer; the worker is our code and logs no row."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return ascii(lines[-1])[:200] if lines else ""
