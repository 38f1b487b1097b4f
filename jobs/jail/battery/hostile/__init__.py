"""The hostile program of the battery.

Runs with the standard library alone, in the jail or (to prove that the attempts work at all) without it. An attempt that succeeds
returns what it got; one that the system stopped raises OSError or ``BlockedError``. Anything else is a mistake of the battery itself
and counts as neither.
"""
