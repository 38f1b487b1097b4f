"""Refusals and failures, one class an exit code, each raised with a message code and its parameters.

The text a person reads is not built where the error is raised: ``sandbox.messages`` renders a code with its parameters from the
one catalogue, in Chinese and in English. Parameters are plain values and never hold row data.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


Param = str | int


class Exit(IntEnum):
    """Exit codes of the command line; part of the interface because a script may see nothing else."""

    DONE = 0
    USAGE = 2
    DEFINITION = 10
    DATA_FILE = 11
    NOT_PERMITTED = 12
    GATE_REFUSED = 13
    BUDGET = 14
    WAITING = 20
    MISSING_PART = 30


class ShuzhaError(Exception):
    """Base of every refusal: ``code`` names an entry of the message catalogue, ``params`` fill it."""

    exit: ClassVar[Exit]

    def __init__(self, code: str, /, **params: Param) -> None:
        self.code = code
        self.params = params
        super().__init__(code, params)

    def __str__(self) -> str:
        """Give the code and the parameters; for logs and tests, not for users."""
        return f"{self.code} {self.params}" if self.params else self.code


class DefinitionError(ShuzhaError):
    """A job, recipe, policy or other definition is wrong."""

    exit = Exit.DEFINITION


class DataFileError(ShuzhaError):
    """A data file is wrong; nothing of it was kept."""

    exit = Exit.DATA_FILE


class NotPermittedError(ShuzhaError):
    """The person may not do this; the parameters name the rule and who could."""

    exit = Exit.NOT_PERMITTED


class GateRefusedError(ShuzhaError):
    """The export gate, or a verification, refused."""

    exit = Exit.GATE_REFUSED


class BudgetError(ShuzhaError):
    """The privacy budget does not suffice."""

    exit = Exit.BUDGET


class WaitingError(ShuzhaError):
    """Someone else must decide first."""

    exit = Exit.WAITING


class MissingPartError(ShuzhaError):
    """A needed part (jail, key, program, database) is missing or down: fail closed (law 7)."""

    exit = Exit.MISSING_PART
