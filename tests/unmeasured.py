"""Processes that coverage does not measure: those that take long take more than twice as long under it."""

import os


def unmeasured(**environ: str) -> dict[str, str]:
    """Give this process's environment and `environ`, without what starts coverage in a process."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")} | environ
