"""Look for what a job must not find, and say what happened."""

import os
import socket
from pathlib import Path


def main(job):
    view = job.table("visits")
    job.log(f"view: {len(view)} rows, first token {str(view['resident_id'].iloc[0])[:8]}…")
    for wanted in ("HOME_FOLDER/raw", "HOME_FOLDER/keys/roots/root-1.key", "HOME_FOLDER/sealed"):
        job.log(f"path: {'FOUND' if Path(wanted).exists() else 'not there'}")
    job.log(f"tables: {sorted(os.listdir('/in'))}")
    try:
        socket.create_connection(("127.0.0.1", int("LISTENER")), timeout=3).close()
        job.log("network: REACHED")
    except OSError as error:
        job.log(f"network: {error.strerror or error}")
