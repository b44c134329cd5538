"""Findings as people read them: the worst last, beside the prompt."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from seedbed.doctor.finding import STATUSES, Finding, Status

_STYLES: dict[Status, str] = {"ok": "green", "note": "yellow", "broken": "bold red"}


def render(findings: Sequence[Finding]) -> Table:
    """A line for each finding, and beneath it what to do."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in sorted(findings, key=lambda finding: STATUSES.index(finding.status)):
        status = f"[{_STYLES[finding.status]}]{finding.status}[/]"
        table.add_row(status, escape(finding.name), escape(finding.found))
        if finding.do:
            table.add_row("", "", f"-> {escape(finding.do)}")
    return table


def summarise(findings: Sequence[Finding]) -> str:
    """The examination in one line."""
    names = {status: [finding.name for finding in findings if finding.status == status] for status in STATUSES}
    worst = f"would break a promise: {', '.join(names['broken'])}" if names["broken"] else "nothing breaks a promise"
    notes = f"; {len(names['note'])} to note" if names["note"] else ""
    return f"{worst}{notes}; {len(names['ok'])} of {len(findings)} ok"
