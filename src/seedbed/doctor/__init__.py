"""What would break a rerun here, and what to do about it: of a machine, or of a program that is running."""

from seedbed.doctor.finding import Finding, Status
from seedbed.doctor.text import render, summarise
from seedbed.doctor.whole import examine

__all__ = ["Finding", "Status", "examine", "render", "summarise"]
