"""What a check found: good or bad, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        severity: ok, note (worth knowing, nothing is wrong), warning or error.
        subject: what was looked at, in a word or two.
        message: what was found.
        fix: what to change, as a full sentence; empty when nothing has to be.
    """

    severity: Severity
    subject: str
    message: str
    fix: str = ""

    @property
    def row(self) -> tuple[str, str, str, str]:
        """The finding as a row of a table: severity, subject, message, fix."""
        return (self.severity, self.subject, self.message, self.fix)
