"""What this machine, interpreter, lock, container, CPU, BLAS and GPU are, what is in force, and how two differ."""

from seedbed.environment.libraries import Library, NumpyFeatures, TorchBuild, numpy_features
from seedbed.environment.machine import Container, Cpu, Gpu, System, read_container
from seedbed.environment.process import VARIABLES, InForce, in_force, read_variables
from seedbed.environment.software import Lock, Python, Source
from seedbed.environment.text import describe, lines
from seedbed.environment.whole import Environment, difference, no_cuda, old_driver, read

__all__ = [
    "VARIABLES",
    "Container",
    "Cpu",
    "Environment",
    "Gpu",
    "InForce",
    "Library",
    "Lock",
    "NumpyFeatures",
    "Python",
    "Source",
    "System",
    "TorchBuild",
    "describe",
    "difference",
    "in_force",
    "lines",
    "no_cuda",
    "numpy_features",
    "old_driver",
    "read",
    "read_container",
    "read_variables",
]
