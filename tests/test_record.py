"""Records: written whole, read with suspicion, and compared."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from seedbed import environment, record
from seedbed.bits import Bits, bits
from seedbed.comparison import Relation
from seedbed.errors import RecordError
from seedbed.fingerprint import fingerprints
from seedbed.promise import Promises, parse
from seedbed.record import Cell, Record, array_key, compare_records, from_json, json_schema, read, to_json, write
from tests.conftest import record_of

HERE = environment.read()
SCHEMA = Path(__file__).parents[1] / "docs" / "record.schema.json"


def made(*baselines: tuple[str, str, dict[str, object]], device: str = "cpu") -> tuple[Record, dict[str, Bits]]:
    """A record of these baselines: experiment, level, results."""
    cells: list[Cell] = []
    arrays: dict[str, Bits] = {}
    for experiment, level, results in baselines:
        taken = {key: bits(value) for key, value in results.items()}
        cell = Cell(
            experiment=experiment,
            level=level,
            device=device,
            condition="baseline",
            status="done",
            fingerprints=fingerprints(taken),
        )
        cells.append(cell)
        arrays |= {array_key(cell, key): value for key, value in taken.items()}
    return record_of(cells), arrays


ONE = made(("a:f", "seeded", {"x": np.arange(4.0, dtype=np.float32)}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "one", *ONE)
    return tmp_path / "one"


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "record.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def test_a_record_comes_back(folder: Path) -> None:
    stored = read(folder)
    assert sorted(os.listdir(folder)) == ["arrays.safetensors", "record.json"]
    assert stored.name == "one"
    assert msgspec.structs.replace(stored.record, arrays_sha256="") == ONE[0]
    (cell,) = stored.record.baselines()
    assert stored.results(cell)["x"].array.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_record_can_be_named_by_its_json(folder: Path) -> None:
    assert read(folder / "record.json").record == read(folder).record


def test_a_record_is_never_overwritten(folder: Path) -> None:
    before = (folder / "record.json").read_bytes()
    with pytest.raises(RecordError, match="exists already, and a record is never overwritten"):
        write(folder, *ONE)
    assert (folder / "record.json").read_bytes() == before


def test_a_record_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cannot write .*file/one: Not a directory"):
        write(tmp_path / "file" / "one", *ONE)
    assert os.listdir(tmp_path) == ["file"]


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise RecordError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(record, "write_whole", full)
    with pytest.raises(RecordError, match="No space left on device"):
        write(tmp_path / "one", *ONE)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=99), r"schema_version: expected 1 or older, found 99: if a newer Seedbed"),
        (lambda d: d.update(schema_version=-3), r"schema_version: expected 1 or older, found -3"),
        (lambda d: d["cells"][0].update(status="perhaps"), r"Invalid enum value 'perhaps' - at `\$.cells\[0\].status`"),
        (lambda d: d["cells"][0].update(seconds="long"), r"Expected `float`, got `str` - at `\$.cells\[0\].seconds`"),
        (lambda d: d.pop("seed"), r"missing required field `seed`"),
        (lambda d: d.update(sead=1), r"unknown field `sead`"),
        (lambda d: d.update(arrays_sha256="0"), r"arrays.safetensors: expected sha256 0, as record.json says, found"),
        (
            lambda d: d["cells"][0]["fingerprints"].update(x="sha256:0"),
            r"arrays.safetensors: a:f\|seeded\|cpu\|x: expected sha256:0, found sha256:",
        ),
        (
            lambda d: d["cells"][0]["fingerprints"].update(y="sha256:0"),
            r"arrays.safetensors: a:f\|seeded\|cpu\|y: expected sha256:0, found no such array",
        ),
    ],
)
def test_a_record_that_was_damaged_names_the_file_and_the_place(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    rewritten(folder, change)
    with pytest.raises(RecordError, match=message) as refused:
        read(folder)
    assert str(refused.value).startswith(str(folder))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("length", [0, 1, 500, -2])
def test_a_record_that_was_cut_short_is_refused(folder: Path, length: int) -> None:
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RecordError, match=r"record.json: (expected JSON, found|Input data was truncated)"):
        read(folder)


def test_json_that_never_ends_is_refused() -> None:
    with pytest.raises(RecordError, match="^here: expected JSON, found"):
        from_json(b"[" * 100_000, "here")


@pytest.mark.parametrize("data", [b"[]", b"3", b'"text"', b'{"schema_version": "1"}', b"\xff\xfe"])
def test_json_that_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError, match="^here: "):
        from_json(data, "here")


def test_arrays_that_were_cut_short_are_refused(folder: Path) -> None:
    path = folder / "arrays.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordError, match=r"arrays.safetensors: expected sha256"):
        read(folder)


@pytest.mark.parametrize("missing", ["record.json", "arrays.safetensors"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(RecordError, match=f"{missing}: expected a record's file, found: No such file"):
        read(folder)


IMAGE = {
    "variant": "cpu",
    "base": "python:3.11.7",
    "base_digest": None,
    "lock": "requirements.lock",
    "lock_sha256": "ab",
    "version": "0.1.0",
    "revision": None,
    "contents": "sha256:cd",
}


def test_a_record_from_before_images_were_described_is_read(folder: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        del document["environment"]["container"]["image"]

    before = read(folder).record
    rewritten(folder, forget)
    assert b"lock_sha256" not in (folder / "record.json").read_bytes()
    assert read(folder).record == msgspec.structs.replace(
        before,
        environment=msgspec.structs.replace(
            before.environment, container=msgspec.structs.replace(before.environment.container, image=None)
        ),
    )


def test_a_record_says_of_which_image_it_is(folder: Path) -> None:
    rewritten(folder, lambda document: document["environment"]["container"].update(image=IMAGE))
    image = read(folder).record.environment.container.image
    assert msgspec.to_builtins(image) == IMAGE
    jsonschema.validate(json.loads((folder / "record.json").read_text()), json.loads(SCHEMA.read_text()))
    rewritten(folder, lambda document: document["environment"]["container"].update(image=IMAGE | {"tag": "latest"}))
    with pytest.raises(RecordError, match=r"unknown field `tag` - at `\$\.environment\.container\.image`"):
        read(folder)


def test_the_schema_in_the_docs_is_the_schema() -> None:
    expected = json.dumps(json_schema(), indent=2) + "\n"
    assert SCHEMA.read_text() == expected, (
        "write it again: python -c 'import json; from seedbed.record import json_schema; "
        "print(json.dumps(json_schema(), indent=2))' > docs/record.schema.json"
    )


def test_a_record_is_valid_by_the_schema_in_the_docs_and_a_damaged_one_is_not() -> None:
    schema = json.loads(SCHEMA.read_text())
    document = json.loads(to_json(ONE[0]))
    jsonschema.validate(document, schema)
    document["cells"][0]["status"] = "perhaps"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


# two records


def stored(
    tmp_path: Path, name: str, *baselines: tuple[str, str, dict[str, object]], device: str = "cpu"
) -> record.Stored:
    write(tmp_path / name, *made(*baselines, device=device))
    return read(tmp_path / name)


def test_two_records_are_compared_experiment_by_experiment(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "seeded", {"x": 1.0}), ("a:g", "seeded", {"x": 1.0}), ("a:h", "seeded", {"x": 1}))
    b = stored(tmp_path, "b", ("a:f", "seeded", {"x": 1.0}), ("a:g", "seeded", {"x": 1.5}), ("a:i", "seeded", {"x": 1}))
    found = {match.experiment: match for match in compare_records(a, b, Promises())}
    relations = {name: match.comparison and match.comparison.relation for name, match in found.items()}
    assert relations == {"a:f": Relation.IDENTICAL, "a:g": Relation.DIFFERENT, "a:h": None, "a:i": None}
    assert {name: (match.reason, match.promise, match.kept) for name, match in found.items()} == {
        "a:f": ("", "identical", True),
        "a:g": ("", "identical", False),
        "a:h": ("not in b", "identical", False),
        "a:i": ("not in a", "identical", False),
    }


def test_an_experiment_that_failed_on_one_machine_keeps_no_promise(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "seeded", {"x": 1.0}))
    failed = Cell(
        experiment="a:f", level="seeded", device="cpu", condition="baseline", status="failed", reason="ValueError: no"
    )
    b = record.Stored("b", msgspec.structs.replace(a.record, cells=[failed]), {})
    for pair in ((a, b), (b, a)):
        (match,) = compare_records(*pair, Promises(general={"machine": parse("any", "")}))
        assert (match.reason, match.comparison, match.kept) == ("failed in b: ValueError: no", None, False)


def test_records_of_different_seeds_are_not_compared(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "seeded", {"x": 1.0}))
    b = record.Stored("b", msgspec.structs.replace(a.record, seed=7), a.arrays)
    with pytest.raises(RecordError, match="a and b were made with different seeds, 1337 and 7"):
        compare_records(a, b, Promises())


def test_nothing_is_expected_at_level_none(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "none", {"x": 1.0}))
    b = stored(tmp_path, "b", ("a:f", "none", {"x": 2.0}))
    (match,) = compare_records(a, b, Promises())
    assert (match.promise, match.kept) == (None, None)


def test_a_promise_about_machines_gives_the_tolerance(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "deterministic", {"x": 1.0}))
    b = stored(tmp_path, "b", ("a:f", "deterministic", {"x": 1.001}))
    for text, kept in (("rtol 1e-2", True), ("rtol 1e-4", False), ("any", True)):
        (match,) = compare_records(a, b, Promises(general={"machine": parse(text, "")}))
        assert (match.promise, match.kept) == (text, kept)


def test_across_devices_the_promise_is_about_the_device(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "deterministic", {"x": 1.0}), device="cuda")
    b = stored(tmp_path, "b", ("a:f", "deterministic", {"x": 1.001}))
    promises = Promises(general={"machine": parse("identical", ""), "device": parse("rtol 1e-2", "")})
    (match,) = compare_records(a, b, promises)
    assert match.devices == ("cuda", "cpu")
    assert (match.promise, match.kept) == ("rtol 1e-2", True)


def test_without_a_promise_of_its_own_a_match_can_be_left_open(tmp_path: Path) -> None:
    a = stored(tmp_path, "a", ("a:f", "seeded", {"x": 1.0}))
    (match,) = compare_records(a, a, Promises(), default=None)
    assert (match.promise, match.kept) == (None, None)
