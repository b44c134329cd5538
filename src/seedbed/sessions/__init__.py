"""What the sessions of a noxfile are made of: ours, and those of projects, which import it from a wheel (zipimport)."""

from seedbed.sessions.engine import build, build_command, build_twice, find_engine, image
from seedbed.sessions.installation import add, environment
from seedbed.sessions.locks import write_locks
from seedbed.sessions.project import CPU_LOCK, CUDA_LOCK, EACH_LOCK, group

__all__ = [
    "CPU_LOCK",
    "CUDA_LOCK",
    "EACH_LOCK",
    "add",
    "build",
    "build_command",
    "build_twice",
    "environment",
    "find_engine",
    "group",
    "image",
    "write_locks",
]
