"""The pytest plugin: every test seeded from one root seed and its own name, and tests that are rerun and compared.

It loads in every pytest run where Seedbed is installed: neither NumPy nor torch, nor what reruns tests, before a test
needs it.
"""

from seedbed.pytest_plugin.hooks import (
    pytest_addoption,
    pytest_configure,
    pytest_configure_node,
    pytest_itemcollected,
    pytest_load_initial_conftests,
    pytest_pyfunc_call,
    pytest_report_header,
    pytest_runtest_setup,
    pytest_terminal_summary,
    rng,
    seedbed_device,
    seedbed_streams,
)
from seedbed.pytest_plugin.seeder import reseed

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_itemcollected",
    "pytest_load_initial_conftests",
    "pytest_pyfunc_call",
    "pytest_report_header",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "reseed",
    "rng",
    "seedbed_device",
    "seedbed_streams",
]
