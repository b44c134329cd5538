"""How two saved images relate: the same, the same layers under another config, or which files of which layers differ.

What is compared of a file is all that its layer's tar has of it: type (a whiteout, which removes a file of the layers
below, is one), mode, owner, size, bytes, target, modification time, extended attributes, and the headers themselves. A
sparse file with other holes counts as other bytes.
"""

import json
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from stat import filemode
from typing import Any, NamedTuple, TypeVar

from seedbed.image.archive import DAMAGE, ArchiveError, File, Layer, SavedImage, members, read_archive

LINES = 50
"""How many files are named, of all layers together; each layer that differs has an equal share."""

_BLOCK = 1 << 20
_EPOCH = "1970-01-01T00:00:00Z"
_BUILDER = ("container", "container_config")  # Docker's classic builder: the container in which the last step ran
_FAINT = ("mtime", "tar header")  # named last: a naive build has them by the thousand
_TYPES = {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hard link",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "fifo",
}

_S = TypeVar("_S")
_R = TypeVar("_R")


class Entry(NamedTuple):
    """What a layer's tar has of one file."""

    type: str
    mode: str
    owner: str
    size: int
    content: bytes
    target: str
    mtime: float
    xattrs: tuple[tuple[str, str], ...]
    names: str
    headers: bytes


_Files = dict[str, Entry]


def compare_archives(one: Path, two: Path, *, lines: int = LINES) -> int:
    """Say on stdout how two saved images relate, the verdict in the last line.

    Returns:
        The exit status: 0 for the same image, also where only dates differ in its config; 1 otherwise; 2, with a line
        on stderr, where one of the archives cannot be read.
    """
    try:
        first, second = _both(read_archive, (one, two))
        status, report = _compare(first, second, lines)
    except ArchiveError as error:
        print(error, file=sys.stderr)
        return 2
    for line in report:
        print(line)
    return status


def _both(function: Callable[[_S], _R], arguments: tuple[_S, _S]) -> list[_R]:
    """Do it for both at once: hashing and unpacking run beside each other."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, arguments))


def _compare(one: SavedImage, two: SavedImage, lines: int) -> tuple[int, list[str]]:
    same = one.digest == two.digest
    pairs = list(zip_longest(one.layers, two.layers))
    differing = sum(not _same(*pair) for pair in pairs)
    keys = _differing_keys(one.config, two.config)
    report = [f"image digest: {f'the same, {one.digest}' if same else f'{one.digest} | {two.digest}'}"]
    report += _normalised_lines(one, two)
    for number, pair in enumerate(pairs, start=1):
        report += _layer_lines(one, two, number, pair, lines // max(1, differing))
    report += [f"config, {_shown(key)}: {_value(ours)} | {_value(theirs)}" for key, ours, theirs in keys]
    if same:
        return 0, [*report, f"the same image: {one.digest}"]
    if differing:
        return 1, [*report, f"{differing} of {len(pairs)} layers differ"]
    paths = list(dict.fromkeys(_shown(key) for key, _, _ in keys)) or ["the order or the spacing of its JSON"]
    dated = bool(keys) and all(_is_date(key) for key, _, _ in keys)
    return int(not dated), [*report, f"the same layers; the config differs in: {', '.join(paths)}"]


# The config


class _Missing:
    def __repr__(self) -> str:
        return "(none)"


_MISSING = _Missing()


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """The leaves of a config by their paths, as ``history[3].created``; what is empty is a leaf."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _flat(item, f"{path}[{index}]")
    else:
        yield path, value


def _differing_keys(one: dict[str, Any], two: dict[str, Any]) -> list[tuple[str, object, object]]:
    """The leaves that differ; the layers' digests are left out, as layers are compared themselves."""
    ours, theirs = dict(_flat(one)), dict(_flat(two))
    both = [(key, ours.get(key, _MISSING), theirs.get(key, _MISSING)) for key in ours | theirs]
    return [entry for entry in both if _json(entry[1]) != _json(entry[2]) and not entry[0].startswith("rootfs.")]


def _json(value: object) -> str:
    return repr(value) if value is _MISSING else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _is_date(key: str) -> bool:
    dated = key == "created" or (key.startswith("history[") and key.endswith("].created"))
    return dated or key.split(".")[0] in _BUILDER


def normalised(config: dict[str, Any]) -> str:
    """The digest of a config with its dates replaced, the same for two builds of the same content by one engine."""
    kept = {key: value for key, value in config.items() if key not in _BUILDER}
    history = [{**step, "created": _EPOCH} for step in config.get("history") or []]
    text = _json({**kept, "created": _EPOCH, "history": history})
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def _normalised_lines(one: SavedImage, two: SavedImage) -> Iterator[str]:
    ours, theirs = normalised(one.config), normalised(two.config)
    digests = f"the same, {ours}" if ours == theirs else f"{ours} | {theirs}"
    yield f"normalised digest (of the config with its dates replaced; no registry knows it): {digests}"


# The layers


def _same(ours: Layer | None, theirs: Layer | None) -> bool:
    return ours is not None and theirs is not None and ours.diff_id == theirs.diff_id


def _layer_lines(
    one: SavedImage, two: SavedImage, number: int, pair: tuple[Layer | None, Layer | None], lines: int
) -> Iterator[str]:
    ours, theirs = pair
    steps = [_shortened(layer.created_by) for layer in pair if layer is not None]
    made = " | ".join(dict.fromkeys(step for step in steps if step)) or "(its history does not say how it was made)"
    if ours is None or theirs is None:
        yield f"layer {number}: only in the {'first' if theirs is None else 'second'}: {made}"
    elif ours.diff_id == theirs.diff_id:
        yield f"layer {number}: the same: {made}"
    else:
        yield f"layer {number}: different: {made}"
        files = _both(_read, ((one, ours), (two, theirs)))
        yield from (f"  {line}" for line in _file_lines(files[0], files[1], lines))


def _read(place: tuple[SavedImage, Layer]) -> _Files:
    image, layer = place
    files: _Files = {}
    try:
        with image.archive.open_layer(layer.name) as file:
            for member, headers in members(file):
                files[_name(member.name, files)] = _entry(member, headers, file)
    except DAMAGE as error:
        raise image.archive.error(layer.name, f"expected a tar file: {error}") from None
    return files


def _name(name: str, taken: _Files) -> str:
    """A name without the ``./`` of some builders; a tar file may have one twice."""
    name = name.removeprefix("./")
    count, unique = 1, name
    while unique in taken:
        count += 1
        unique = f"{name} (number {count})"
    return unique


def _entry(member: tarfile.TarInfo, headers: bytes, file: File) -> Entry:
    xattrs = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
    devices = f"device {member.devmajor}:{member.devminor}" if member.ischr() or member.isblk() else ""
    return Entry(
        type=_type(member),
        mode=filemode(member.mode)[1:],
        owner=f"{member.uid}:{member.gid}",
        size=member.size,
        content=_content(member, file) if member.isreg() else b"",
        target=member.linkname or devices,
        mtime=member.mtime,
        xattrs=tuple(sorted(xattrs.items())),
        names=f"{member.uname}:{member.gname}",
        headers=sha256(headers).digest(),
    )


def _type(member: tarfile.TarInfo) -> str:
    if member.name.rpartition("/")[2].startswith(".wh."):
        return "whiteout"
    return _TYPES.get(member.type, "file" if member.isreg() else f"type {member.type!r}")


def _content(member: tarfile.TarInfo, file: File) -> bytes:
    """Hash what the tar has of a file; of a sparse one, where its parts are too: holes may be of any size."""
    digest = sha256(repr(member.sparse).encode() if member.issparse() else b"")
    parts: Any = member.sparse  # pairs of offset and size; typeshed says bytes
    left = sum(size for _, size in parts) if member.issparse() else member.size
    while left > 0:
        if not (data := file.read(min(left, _BLOCK))):
            raise tarfile.ReadError(f"{member.name!r} is cut short")
        digest.update(data)
        left -= len(data)
    return digest.digest()


# The files of a layer


def _file_lines(ours: _Files, theirs: _Files, lines: int) -> Iterator[str]:
    """Count what differs by its kind, then name the files, those first that differ in more than dates and headers."""
    found = {name: list(_differences(ours.get(name), theirs.get(name))) for name in ours | theirs}
    found = {name: differences for name, differences in found.items() if differences}
    counts = Counter(kind for differences in found.values() for kind, _ in differences)
    order, first = _order(ours, theirs)
    yield f"{len(found)} of {len(ours | theirs)} files differ" + "".join(f"; {kind}: {n}" for kind, n in counts.items())
    if order:
        yield f"order in the tar: {order} files stand in another place, the first is {_shown(first)}"
    if not found and not order:
        yield "no file differs: the tar files differ between their files or after the last"
    named = sorted(found, key=lambda name: all(kind in _FAINT for kind, _ in found[name]))
    for name in named[:lines]:
        yield f"{_shown(name)}: " + "; ".join(f"{kind} {text}".rstrip() for kind, text in found[name])
    if len(named) > lines:
        yield f"... and {len(named) - lines} more files"


def _order(ours: Iterable[str], theirs: Iterable[str]) -> tuple[int, str]:
    """How many of the files that both have do not stand in the same order, and the first of them."""
    there, here = set(theirs), set(ours)
    pairs = zip((name for name in ours if name in there), (name for name in theirs if name in here), strict=True)
    moved = [name for name, other in pairs if name != other]
    return len(moved), moved[0] if moved else ""


def _differences(ours: Entry | None, theirs: Entry | None) -> Iterator[tuple[str, str]]:
    """Each kind of difference between the two entries of a name, and how it shows."""
    if ours is None or theirs is None:
        entry = ours or theirs
        yield f"only in the {'first' if theirs is None else 'second'}", f"({entry.type})" if entry else ""
    elif ours != theirs and (kinds := list(_kinds(ours, theirs))):
        yield from kinds
    elif ours != theirs:
        names = f"(owner {ours.names} | {theirs.names})" if ours.names != theirs.names else "only"
        yield "tar header", _shown(names)


def _kinds(ours: Entry, theirs: Entry) -> Iterator[tuple[str, str]]:
    for kind in ("type", "mode", "owner", "size", "target"):
        one, two = getattr(ours, kind), getattr(theirs, kind)
        if one != two:
            yield kind, f"{_shown(str(one))} | {_shown(str(two))}"
    if ours.content != theirs.content and ours.size == theirs.size and ours.type == theirs.type:
        yield "bytes", ""
    if ours.xattrs != theirs.xattrs:
        yield "xattrs", ", ".join(sorted({_shown(key) for key, _ in set(ours.xattrs) ^ set(theirs.xattrs)}))
    if ours.mtime != theirs.mtime and ours.headers != theirs.headers:  # NaN is never the same
        yield "mtime", f"{_date(ours.mtime)} | {_date(theirs.mtime)}"


# Texts


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"


def _shown(text: str) -> str:
    """A text of the archive: on one line, and nothing in it that a terminal would act on."""
    return text if text.isprintable() else ascii(text)


def _shortened(text: str, width: int = 100) -> str:
    words = _shown(" ".join(text.split()))
    return words if len(words) <= width else f"{words[: width - 3]}..."


def _value(value: object) -> str:
    return _shortened(_json(value))
