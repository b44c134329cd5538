"""A digest of a folder: of names, kinds, permissions and bytes; not of times and owners, which engines write anew."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def digest_tree(folder: Path, *, without: frozenset[str] = frozenset()) -> str:
    """Digest everything below `folder` but the files and folders directly in it that `without` names.

    Two folders have one digest (``sha256:...``) if and only if they hold the same names, and under each the same kind,
    permissions, and bytes or target: whatever engine, file system or user wrote them. No link is followed.

    Raises:
        OSError: where something cannot be read.
    """
    whole = hashlib.sha256()
    for entry in _walk(os.fsencode(folder), frozenset(map(os.fsencode, without))):
        path = os.path.relpath(entry.path, os.fsencode(folder))
        kind, content = _content(entry)
        # Each part ends where no part can go on: a path has no NUL, and the rest has a fixed form.
        mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
        whole.update(b"%s\0%s %o %s\n" % (path, kind, mode, content.encode()))
    return f"sha256:{whole.hexdigest()}"


def _walk(folder: bytes, without: frozenset[bytes] = frozenset()) -> Iterator["os.DirEntry[bytes]"]:
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if entry.name not in without), key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)


def _content(entry: "os.DirEntry[bytes]") -> tuple[bytes, str]:
    """What kind of thing it is, and the digest of what is in it: its bytes, or the target of a link."""
    if entry.is_symlink():
        target = os.readlink(entry.path)  # noqa: PTH115  (a Path would make one of ./a and a)
        return b"link", hashlib.sha256(target).hexdigest()
    if entry.is_dir(follow_symlinks=False):
        return b"folder", ""
    if entry.is_file(follow_symlinks=False):
        with Path(os.fsdecode(entry.path)).open("rb") as file:
            return b"file", hashlib.file_digest(file, "sha256").hexdigest()
    return b"other", ""
