"""Reading a saved image: what ``docker save`` and ``podman save`` write, and the OCI archive of other builders.

All are a tar file of JSON and of layers, which are tar files themselves. ``manifest.json`` leads to one image (Docker's
format; newer engines write the OCI layout beside it), or else ``index.json`` does (the OCI layout). Nothing is
extracted: layers are read through where they lie, however large. What is read is checked against every digest that the
archive itself names: layers against the config's ``rootfs.diff_ids``, blobs and configs against their own names.

Sources: https://github.com/moby/docker-image-spec/blob/main/spec.md,
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import gzip
import io
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from seedbed.errors import SeedbedError, shown

LIMIT = 1 << 24
"""The most bytes that are read at once, of JSON or of the headers of one file: what is larger is damaged or hostile."""

_MEMBERS = 100_000  # in the archive itself, which has a few for each layer
_BLOCK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_HEX = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json|\.tar)?\Z")
_OF_TWO = "has {} images, and one is compared: save or name just one of {}"

# What tarfile, gzip and the JSON decoder raise on damaged input; IndexError is tarfile's, on a sparse file cut short.
DAMAGE = (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError, EOFError, OSError, zlib.error)

_Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
_T = TypeVar("_T")

File = io.BufferedReader | gzip.GzipFile


class ArchiveError(SeedbedError):
    """A saved image that cannot be read: the file, the place in it, and what was expected."""


class _Saved(msgspec.Struct, rename="pascal"):
    """An entry of Docker's ``manifest.json``."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


class _Descriptor(msgspec.Struct, rename="camel"):
    digest: _Digest
    media_type: str = ""
    annotations: dict[str, str] | None = None


class _Index(msgspec.Struct):
    manifests: list[_Descriptor]


class _Manifest(msgspec.Struct):
    config: _Descriptor
    layers: list[_Descriptor]


class _History(msgspec.Struct):
    created_by: str = ""
    empty_layer: bool = False


class _Rootfs(msgspec.Struct):
    diff_ids: list[_Digest] | None = None


class _Config(msgspec.Struct):
    rootfs: _Rootfs
    history: list[_History] | None = None


class _Place(NamedTuple):
    """Where a file of the archive lies in it; or the name that it is a link to."""

    offset: int
    size: int
    link: str


class Layer(NamedTuple):
    """One layer: its name in the archive, the sha256 of its uncompressed tar, and the step that made it."""

    name: str
    diff_id: str
    created_by: str


@dataclass(frozen=True)
class SavedImage:
    """One image in an archive, whose digests were all found right."""

    archive: "Archive"
    digest: str
    """The sha256 of its config, which Docker and Podman show as the image's ID."""
    config: dict[str, Any]
    layers: list[Layer]


class _Recorder:
    """A tar file as tarfile reads it, which keeps the headers' bytes and reads no header without bound."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.recorded = b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Read and record."""
        if size + len(self.recorded) > LIMIT:
            raise tarfile.ReadError(f"a header of more than {LIMIT} bytes")
        data = self.file.read(size)
        self.recorded += data
        return data


def members(file: File) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Go through a tar file: each member, and the bytes of its headers; what comes next in `file` is then its content.

    Raises:
        tarfile.TarError: where the file is damaged; also where tarfile itself would take the damage for the end.
    """
    recorder = _Recorder(file)
    tar = tarfile.TarFile(fileobj=recorder)  # type: ignore[arg-type] # it reads, seeks and tells, which is what is used
    while (member := tar.next()) is not None:
        if member.size < 0 or tar.offset < member.offset_data:
            raise tarfile.ReadError(f"{shown(member.name)} has a negative size")
        yield member, recorder.recorded[member.offset - member.offset_data :]
        recorder.recorded = b""
        tar.members = []  # type: ignore[attr-defined] # it would keep them all
    if recorder.recorded[-tarfile.BLOCKSIZE :].strip(b"\0"):
        raise tarfile.ReadError(f"no header at byte {tar.offset}")


class _Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, path: Path, place: _Place) -> None:
        self._file, self._place, self._at = path.open("rb", buffering=0), place, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._place.size}[whence]
        self._at = self._file.seek(self._place.offset + max(0, start + offset)) - self._place.offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        left = max(0, min(len(buffer), self._place.size - self._at))
        self._file.seek(self._place.offset + self._at)
        read = self._file.readinto(memoryview(buffer)[:left])
        self._at += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()


class Archive:
    """The files of a saved image, by name, as they lie in its tar file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._places = dict(self._index(file))
        except OSError as error:
            raise ArchiveError(f"cannot read {path}: {error.strerror or error}") from None
        except DAMAGE as error:
            raise self.error("", f"expected a tar file, as `docker save` writes it, uncompressed: {error}") from None

    def error(self, name: str, problem: object) -> ArchiveError:
        """The error for something wrong in one of the files."""
        return ArchiveError(
            f"{self.path}{f', {name if name.isprintable() else ascii(name)}' if name else ''}: {problem}"
        )

    def _index(self, file: io.BufferedReader) -> Iterator[tuple[str, _Place]]:
        for count, (member, _) in enumerate(members(file)):
            if count == _MEMBERS:
                raise tarfile.ReadError(f"more than {_MEMBERS} files")
            name = posixpath.normpath(member.name)
            if member.issym():
                yield name, _Place(0, 0, posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname)))
            elif member.islnk():
                yield name, _Place(0, 0, posixpath.normpath(member.linkname))
            elif member.isreg() and not member.issparse():
                yield name, _Place(member.offset_data, member.size, "")

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def open(self, name: str) -> io.BufferedReader:
        """Open a file of the archive; a link is followed once, to another file of the archive.

        `docker save` writes a layer that an image has twice as a link, `podman save` one for each layer.
        """
        place = self._places.get(posixpath.normpath(name))
        if place is not None and place.link:
            place = self._places.get(place.link)
        if place is None or place.link:
            raise self.error(name, "is named in the archive and not there, or no plain file")
        return io.BufferedReader(_Window(self.path, place), _BLOCK)

    def open_layer(self, name: str) -> File:
        """Open a layer, uncompressed."""
        file = self.open(name)
        magic = file.read(4)
        file.seek(0)
        if magic == _ZSTD:
            raise self.error(name, "is compressed with zstd, which is not read: save with gzip or uncompressed")
        return gzip.GzipFile(fileobj=file) if magic[:2] == _GZIP else file

    def json(self, name: str, kind: type[_T]) -> tuple[_T, bytes]:
        """Decode a JSON file, after checking it against the digest in its name; with it, its bytes."""
        with self.open(name) as file:
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise self.error(name, f"expected JSON of at most {LIMIT} bytes")
        self._check_name(name, sha256(data).hexdigest())
        try:
            return msgspec.json.decode(data, type=kind), data
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self.error(name, error) from None

    def _check_name(self, name: str, digest: str) -> None:
        named = _HEX.search(name)
        if named and named[1] != digest:
            raise self.error(name, f"is damaged: its sha256 is {digest}")

    def diff_id(self, name: str) -> str:
        """Hash a layer, uncompressed; and as it is, where its name is that digest."""
        try:
            with self.open(name) as raw, self.open_layer(name) as layer:
                digest = _sha256(layer)
                self._check_name(name, _sha256(raw) if isinstance(layer, gzip.GzipFile) else digest)
                return f"sha256:{digest}"
        except DAMAGE as error:
            raise self.error(name, f"is damaged: {error}") from None


def _sha256(file: File) -> str:
    digest, buffer = sha256(), memoryview(bytearray(_BLOCK))
    while size := file.readinto(buffer):
        digest.update(buffer[:size])
    return digest.hexdigest()


def read_archive(path: Path) -> SavedImage:
    """Read the one image of an archive, and check all of its digests.

    Raises:
        ArchiveError: naming file and place, where it is damaged, has several images, or is no archive of an image.
    """
    archive = Archive(path)
    config_name, layer_names = _docker(archive) if "manifest.json" in archive else _oci(archive)
    config, data = archive.json(config_name, _Config)
    diff_ids = config.rootfs.diff_ids or []
    if len(diff_ids) != len(layer_names):
        raise archive.error(config_name, f"names {len(diff_ids)} layers; the archive has {len(layer_names)}")
    steps = [step.created_by for step in config.history or [] if not step.empty_layer]
    steps += [""] * (len(diff_ids) - len(steps))  # the history is optional
    for name, expected in zip(layer_names, diff_ids, strict=True):
        if (found := archive.diff_id(name)) != expected:
            raise archive.error(name, f"is damaged: expected {expected} (rootfs.diff_ids), found {found}")
    layers = [Layer(*parts) for parts in zip(layer_names, diff_ids, steps, strict=False)]
    whole, _ = archive.json(config_name, dict[str, Any])
    return SavedImage(archive, f"sha256:{sha256(data).hexdigest()}", whole, layers)


def _docker(archive: Archive) -> tuple[str, list[str]]:
    saved, _ = archive.json("manifest.json", list[_Saved])
    if len(saved) != 1:
        tags = ", ".join(tag for entry in saved for tag in entry.repo_tags or [entry.config])
        raise archive.error("manifest.json", _OF_TWO.format(len(saved), tags))
    return saved[0].config, saved[0].layers or []


def _oci(archive: Archive) -> tuple[str, list[str]]:
    if "index.json" not in archive:
        raise archive.error("", "expected an image: neither manifest.json (docker save) nor index.json (OCI) is there")
    name = "index.json"
    for _ in range(4):  # an index may be in an index; buildx writes one with attestations beside the image
        index, _data = archive.json(name, _Index)
        images = [each for each in index.manifests if not _is_attestation(each)]
        if len(images) != 1:
            raise archive.error(name, _OF_TWO.format(len(images), ", ".join(each.digest for each in images)))
        name = _blob(images[0])
        if "index" not in images[0].media_type and "manifest.list" not in images[0].media_type:
            manifest, _data = archive.json(name, _Manifest)
            return _blob(manifest.config), [_blob(layer) for layer in manifest.layers]
    raise archive.error(name, "expected the manifest of an image, found an index in an index in an index")


def _is_attestation(descriptor: _Descriptor) -> bool:
    return (descriptor.annotations or {}).get("vnd.docker.reference.type") == "attestation-manifest"


def _blob(descriptor: _Descriptor) -> str:
    return "blobs/" + descriptor.digest.replace(":", "/")
