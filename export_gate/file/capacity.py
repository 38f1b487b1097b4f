"""How many bits a file can carry out, counted before anybody has opened it (laws 3 and 8, B18, B23).

The canonical form has at most as many bytes as its description reserves, and a reviewer read that number at promotion. Fewer bytes or a
refusal are answers too: all byte strings of at most n bytes, and 2**(8n) / 2 different refusals beside them, are fewer than 2**(8n+1).
How long the parsing took is the last answer: whole milliseconds up to the jail's limit. The capacity of a channel without noise is the
logarithm of the number of its answers (Cover and Thomas, *Elements of Information Theory*, section 7.1).
"""

from __future__ import annotations

from export_gate.file.limits import JAIL_LIMITS


TIMING_BITS = (JAIL_LIMITS.seconds * 1000).bit_length()


def capacity(most_bytes: int) -> int:
    """Give the bits that a file of at most so many canonical bytes is charged, whatever becomes of it."""
    if most_bytes < 1:
        raise ValueError("a file of no bytes says nothing")
    return 8 * most_bytes + 1 + TIMING_BITS
