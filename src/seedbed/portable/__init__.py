"""Portable mode: the same bits on any CPU and any GPU."""

from seedbed.errors import NotPortableError
from seedbed.portable.mode import PortableMode

__all__ = ["NotPortableError", "PortableMode"]
