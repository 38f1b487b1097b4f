"""Storage that the site encrypts: an HDFS zone, an object store, an encrypted volume, mounted where the sealed folders lie.

We cannot see how it is encrypted, so somebody must vouch for it by name, it must really be mounted, and the site's own command must
destroy a folder's key when a grant ends. Every word of that is in the settings and comes back in the check of the machine (D9, D11).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.errors import MissingPartError


_TIMEOUT = 120
_KEYS = frozenset({"folder", "cipher", "attested_by", "destroy"})


@dataclass(frozen=True)
class External:
    """Folders below one mount of the site's.

    Attributes:
        folder: where the site's encrypted storage is mounted; ``sealed`` of the home folder lies on it or leads to it.
        cipher: what it is encrypted with, in the site's words, and who vouches for it.
        command: program and first arguments; gets the folder's path below the mount as the last one, destroys its key, and exits with 0.
    """

    folder: Path
    cipher: str
    command: tuple[str, ...]
    name: str = "external"

    def create(self, sealed: Path, key: bytes) -> None:
        """Make an empty folder on the site's storage.

        Raises:
            MissingPartError: it does not lie there (law 7).
        """
        if len(key) != 32:
            raise MissingPartError("storage.failed", provider=self.name)
        self._check_on_it(sealed.parent)
        sealed.mkdir(mode=0o700, parents=True)

    @contextmanager
    def opened(self, sealed: Path, key: bytes, mounts: Path) -> Iterator[Path]:
        """Give the folder itself: the site's storage is open to the platform as long as it is mounted.

        Raises:
            MissingPartError: it is not there, or not on the site's storage any more.
        """
        if len(key) != 32 or not sealed.is_dir():
            raise MissingPartError("storage.failed", provider=self.name)
        self._check_on_it(sealed)
        mounts.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield sealed

    def close(self, sealed: Path) -> None:
        """Do nothing: only the site can close it."""

    def destroy(self, sealed: Path) -> None:
        """Have the site destroy the folder's key, then remove the folder.

        Raises:
            MissingPartError: the command is missing, failed or took too long, or the folder stayed.
        """
        if not sealed.is_dir():
            return
        below = self._check_on_it(sealed)
        try:
            done = subprocess.run(
                [*self.command, str(below)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingPartError("storage.not-destroyed", folder=sealed.name) from error
        if done.returncode != 0:
            raise MissingPartError("storage.not-destroyed", folder=sealed.name)
        shutil.rmtree(sealed, ignore_errors=True)
        if sealed.exists():
            raise MissingPartError("storage.not-destroyed", folder=sealed.name)

    def _check_on_it(self, place: Path) -> Path:
        """Give the path below the mount.

        Raises:
            MissingPartError: nothing is mounted, or the place leads elsewhere: it would be stored in clear.
        """
        below = place.resolve()
        if not os.path.ismount(self.folder) or not below.is_relative_to(self.folder.resolve()):
            raise MissingPartError("storage.not-mounted", folder=str(self.folder))
        return below.relative_to(self.folder.resolve())


def read_external(settings: Mapping[str, Any]) -> External:
    """Read the settings ``[external]``: ``folder``, ``cipher``, ``attested_by`` and ``destroy``, a list of words.

    Raises:
        MissingPartError: one is missing, empty or unknown (law 7).
    """
    told = settings.get("external", {})
    if not isinstance(told, Mapping) or set(told) != _KEYS:
        raise MissingPartError("storage.external-settings", keys=", ".join(sorted(_KEYS)))
    texts = [told[name] for name in ("folder", "cipher", "attested_by")]
    words = told["destroy"]
    whole = all(isinstance(text, str) and text.strip() for text in texts)
    if not (whole and isinstance(words, list) and words and all(isinstance(word, str) and word for word in words)):
        raise MissingPartError("storage.external-settings", keys=", ".join(sorted(_KEYS)))
    folder = Path(told["folder"])
    if not folder.is_absolute() or not Path(words[0]).is_absolute():
        raise MissingPartError("storage.external-settings", keys=", ".join(sorted(_KEYS)))
    return External(folder, f"{told['cipher']} ({told['attested_by']})", tuple(words))
