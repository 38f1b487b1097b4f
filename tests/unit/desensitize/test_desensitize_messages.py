from __future__ import annotations

import re
from pathlib import Path

import desensitize
from sandbox.messages import catalogue


FOLDER = Path(desensitize.__file__).parent


def test_every_code_that_is_raised_has_a_message_and_every_message_is_raised() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    raised = set(re.findall(r'"(desensitize\.[a-z-]+)"', source))
    assert raised == {code for code in catalogue() if code.startswith("desensitize.")}
