"""The statistic: an answer measured with noise by the gate, priced before any data is read (E3, E5, law 3, law 9).

``Question`` says what is asked, ``price`` what it costs, ``measure`` answers it in a jailed child process. ``sole_subject`` must
have named the question's subject; the ledger must have been charged before ``measure`` runs.
"""

from __future__ import annotations

from export_gate.statistic.answer import Answer
from export_gate.statistic.price import Noise, Price, price
from export_gate.statistic.question import Question
from export_gate.statistic.subject import sole_subject


__all__ = ["Answer", "Noise", "Price", "Question", "price", "sole_subject"]
