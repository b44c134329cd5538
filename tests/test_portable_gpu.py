"""The script for machines with a GPU, rehearsed on a CPU; what it would find on a GPU is not shown by this."""

import json
from pathlib import Path

import pytest
import torch
from benchmarks import portable
from torch import Tensor

from seedbed import record
from tests import portable_gpu, portable_sweep


def experiment(*, seed: int, device: str) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {"drawn": torch.randn(10, device=device)}


def test_the_script_makes_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable_gpu, "LEVELS", "portable")
    monkeypatch.setattr(portable, "SIZE", 64)
    monkeypatch.setattr(portable, "EXPERIMENTS", [])
    monkeypatch.setattr(portable, "MEMORY", {})
    out = tmp_path / "record"
    arguments = "--device cpu --only addmv --types float32 --rounds 1 --experiments tests.test_portable_gpu:experiment"
    assert portable_gpu.main([str(out), *arguments.split()]) == 0
    assert {cell.level for cell in record.read(out).record.cells} == {"portable"}
    found = json.loads((out / "portable.json").read_text(encoding="utf-8"))
    assert found["samples"]["differing"] == []
    assert found["samples"]["shared"] == found["samples"]["outcomes"]["ran"] > 0
    assert [row["ratio"] > 0 for row in found["benchmarks"]] == [True] * 6
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "| portable |" in page
    assert f"0 of {found['samples']['shared']} samples differ" in page


def test_a_bit_that_differs_is_told(tmp_path: Path) -> None:
    lines = [{"operation": "add", "dtype": "float32", "sample": 0, "inputs": "a", "outcome": "ran", "results": ["1"]}]
    for name, result in {"cpu": "1", "device": "2"}.items():
        Path(tmp_path, name).write_text(json.dumps(lines[0] | {"results": [result]}) + "\n", encoding="utf-8")
    found, shared = portable_sweep.differences(str(tmp_path / "cpu"), str(tmp_path / "device"))
    assert (len(found), shared) == (1, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        portable_gpu.main([str(tmp_path / "record")])
    assert "PyTorch finds no CUDA GPU here" in capsys.readouterr().err
    assert not (tmp_path / "record").exists()


def test_a_record_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        portable_gpu.main([str(tmp_path), "--device", "cpu"])
    assert "is there already" in capsys.readouterr().err
