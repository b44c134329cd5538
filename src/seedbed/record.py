"""The record of a check: a folder with ``record.json`` beside ``arrays.safetensors``; never a pickle.

``record.json`` says what was run, where, under which flags, and how every result relates to the baseline's;
``arrays.safetensors`` holds the baselines' results themselves, so that two records can be compared to the last bit.
"""

import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from seedbed.bits import Bits
from seedbed.comparison import Comparison, compare
from seedbed.condition import Variant
from seedbed.determinism import Flags
from seedbed.environment import Environment, InForce
from seedbed.errors import RecordError
from seedbed.fingerprint import fingerprint
from seedbed.promise import ANY, IDENTICAL, Promise, Promises
from seedbed.storage import dumps, loads, write_whole

SCHEMA_VERSION = 1
JSON_NAME = "record.json"
ARRAYS_NAME = "arrays.safetensors"

Status = Literal["done", "failed", "skipped"]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One worker process: what was asked of it, and what was in force when its last experiment had run."""

    level: str
    variant: Variant
    in_force: InForce
    flags: Flags | None = None
    """None where the process never loaded torch."""
    variables: dict[str, str] = {}
    """The process's environment variables that can change bits, whoever set them."""


class Cell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One experiment at one level under one variant."""

    experiment: str
    level: str
    device: str
    condition: str
    setting: str = ""
    status: Status
    reason: str = ""
    """Why it failed or was skipped, in one line."""
    output: str = ""
    """The last lines that a failed experiment printed."""
    seconds: float = 0.0
    """Wall time of one run."""
    runs: _Count = 1
    """How often it ran in its process."""
    varied: _Count = 0
    """How many of those runs gave other bits than the first."""
    fingerprints: dict[str, str] = {}
    """Of every result, by key; where runs in one process varied, of the first that did. Empty where the comparison
    says that they are the baseline's."""
    comparison: Comparison | None = None
    """With the baseline of its level and device; under `device`, with the CPU's. None for a baseline."""
    promise: str | None = None
    """What `pyproject.toml` promises of this cell."""
    kept: bool | None = None
    """Whether the promise was kept; None where there is no promise or nothing to hold against it."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that one check found."""

    schema_version: int
    seedbed_version: str
    created: str
    """UTC, ISO 8601."""
    seed: int
    arrays_sha256: str
    """Of ``arrays.safetensors`` beside it."""
    environment: Environment
    runs: list[Run]
    cells: list[Cell]

    def baselines(self) -> Iterator[Cell]:
        """The cells whose arrays are stored: each experiment's baseline, by level and device, that ran."""
        return (cell for cell in self.cells if cell.condition == "baseline" and cell.status == "done")


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it was read, with its arrays: by array key, ``experiment|level|device|result key``."""

    name: str
    record: Record
    arrays: Mapping[str, Bits]

    def results(self, cell: Cell) -> dict[str, Bits]:
        """The results of one baseline cell."""
        return {key: self.arrays[array_key(cell, key)] for key in cell.fingerprints}


def array_key(cell: Cell, key: str) -> str:
    """The name of one baseline result in ``arrays.safetensors``."""
    return "|".join((cell.experiment, cell.level, cell.device, key))


def write(folder: Path, record: Record, arrays: Mapping[str, Bits]) -> Record:
    """Write a record as a new folder, whole or not at all, and return it with the digest of its arrays.

    Raises:
        RecordError: where the folder exists already (nothing is overwritten) or cannot be written.
    """
    if folder.exists():
        raise RecordError(f"{folder} exists already, and a record is never overwritten: choose another --out")
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    data = dumps(arrays)
    record = msgspec.structs.replace(record, arrays_sha256=sha256(data).hexdigest())
    try:
        part.mkdir(parents=True)
        write_whole(part / ARRAYS_NAME, data)
        write_whole(part / JSON_NAME, to_json(record))
        part.rename(folder)
    except OSError as error:
        raise RecordError(f"cannot write {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def to_json(record: Record) -> bytes:
    """The bytes of ``record.json``."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def read(folder: Path) -> Stored:
    """Read and validate a record: its folder, or the ``record.json`` in it.

    Raises:
        RecordError: one line that names the file, the place in it, and what was expected: where it is missing, cut
            short, damaged, from a newer schema, or where the arrays are not the ones it was written with.
    """
    folder = folder.parent if folder.name == JSON_NAME and not folder.is_dir() else folder
    record = from_json(_bytes(folder / JSON_NAME), str(folder / JSON_NAME))
    place = str(folder / ARRAYS_NAME)
    data = _bytes(folder / ARRAYS_NAME)
    if (digest := sha256(data).hexdigest()) != record.arrays_sha256:
        raise RecordError(f"{place}: expected sha256 {record.arrays_sha256}, as {JSON_NAME} says, found {digest}")
    stored = Stored(folder.name, record, loads(data, place)[0])
    for cell in record.baselines():
        for key, expected in cell.fingerprints.items():
            found = stored.arrays.get(array_key(cell, key))
            if found is None or fingerprint(found) != expected:
                what = "no such array" if found is None else fingerprint(found)
                raise RecordError(f"{place}: {array_key(cell, key)}: expected {expected}, found {what}")
    return stored


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: expected a record's file, found: {error.strerror}") from None


def from_json(data: bytes, place: str) -> Record:
    """Validate the bytes of a ``record.json``.

    Raises:
        RecordError: naming `place`, the key, and what was expected.
    """
    try:
        document = msgspec.json.decode(data)
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, int) and not 1 <= version <= SCHEMA_VERSION:
            raise RecordError(
                f"{place}: schema_version: expected {SCHEMA_VERSION} or older, found {version}: if a newer Seedbed "
                "wrote it, upgrade this one"
            )
        return msgspec.convert(document, Record)
    except msgspec.ValidationError as error:
        raise RecordError(f"{place}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{place}: expected JSON, found: {error}") from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``record.json``, as it stands in ``docs/record.schema.json``."""
    return msgspec.json.schema(Record)


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one experiment's baseline in a record relates to that in another record."""

    experiment: str
    level: str
    devices: tuple[str, str]
    comparison: Comparison | None = None
    """None where there was nothing to compare; `reason` says why."""
    reason: str = ""
    promise: str | None
    kept: bool | None
    """None at level `none`, where nothing was set and nothing is expected."""


def compare_records(
    actual: Stored, expected: Stored, promises: Promises, default: Promise | None = IDENTICAL
) -> list[Match]:
    """Compare the baselines of two records, whatever differs between them: machine, device, versions.

    Each experiment and level of one is held against the same in the other on the same device; where the other has it
    only on another device, against that. One that failed, or is in one record only, keeps no promise. The promise is
    the one about ``machine`` (about ``device`` across devices), or else `default`, but never that at level `none`.

    Raises:
        RecordError: where the two were made with different seeds: they answer different questions.
    """
    if actual.record.seed != expected.record.seed:
        seeds = f"{actual.record.seed} and {expected.record.seed}"
        raise RecordError(f"{actual.name} and {expected.name} were made with different seeds, {seeds}")
    ours, theirs = _ran(actual.record), _ran(expected.record)
    pairs: list[tuple[Cell | None, Cell | None]] = [(cell, _counterpart(cell, theirs)) for cell in ours]
    pairs += [(None, cell) for cell in theirs if _counterpart(cell, ours) is None]
    return [_match(actual, expected, here, there, promises, default) for here, there in pairs]


def _ran(record: Record) -> list[Cell]:
    return [cell for cell in record.cells if cell.condition == "baseline" and cell.status != "skipped"]


def _counterpart(cell: Cell, others: list[Cell]) -> Cell | None:
    same = [other for other in others if (other.experiment, other.level) == (cell.experiment, cell.level)]
    on_same_device = [other for other in same if other.device == cell.device]
    return next(iter(on_same_device or same), None)


def _match(
    actual: Stored,
    expected: Stored,
    here: Cell | None,
    there: Cell | None,
    promises: Promises,
    default: Promise | None,
) -> Match:
    (one, *_), devices = filter(None, (here, there)), tuple(cell.device if cell else "" for cell in (here, there))
    across = "" not in devices and devices[0] != devices[1]
    promise = promises.of(one.experiment, one.level, "device" if across else "machine")
    if promise is None and one.level != "none":
        promise = default
    reason = _problem(here, actual.name) or _problem(there, expected.name)
    comparison = None
    if here and there and not reason:
        comparison = compare_cell(actual.results(here), expected.results(there), promise)
    return Match(
        experiment=one.experiment,
        level=one.level,
        devices=(devices[0], devices[1]),
        comparison=comparison,
        reason=reason,
        promise=promise.text if promise else None,
        kept=(comparison is not None and promise.kept(comparison)) if promise else None,
    )


def _problem(cell: Cell | None, name: str) -> str:
    if cell is None:
        return f"not in {name}"
    return f"failed in {name}: {cell.reason}" if cell.status == "failed" else ""


def compare_cell(actual: Mapping[str, Bits], expected: Mapping[str, Bits], promise: Promise | None) -> Comparison:
    """Compare two results with the tolerances of the promise about them, or each dtype's usual ones."""
    promise = promise or ANY
    return compare(actual, expected, rtol=promise.rtol, atol=promise.atol)
