"""Second derivatives of PyTorch's own samples: the same bits without vector instructions as with all of this CPU's."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.portable_derivatives import STAGES, comparison
from tests.portable_golden import BEST, PLAIN
from tests.portable_runs import ROOT
from tests.unmeasured import unmeasured


def test_second_derivatives_have_the_same_bits(tmp_path: Path) -> None:
    def run(name: str, environ: dict[str, str]) -> Path:
        options = ["--limit=1", str(tmp_path / name)]
        command = [sys.executable, "-W", "ignore", "-m", "tests.portable_derivatives", *options]
        subprocess.run(command, cwd=ROOT, env=unmeasured(PYTHONHASHSEED="0", **environ), check=True)
        return tmp_path / name

    with ThreadPoolExecutor() as pool:
        found = comparison(*pool.map(run, ("best", "plain"), (BEST, PLAIN)))
    assert [found[stage]["differing"] for stage in STAGES] == [[], [], []]
    assert found["second"]["operations"] > 400


def test_a_comparison_names_what_differs_of_the_same_inputs(tmp_path: Path) -> None:
    def written(name: str, **changed: str) -> Path:
        line = {"operation": "exp", "sample": 0, "inputs": "a", "results": "b", "first": "c", "second": "d"} | changed
        (tmp_path / name).write_text(json.dumps(line) + "\n", encoding="utf-8")
        return tmp_path / name

    one = written("one")
    found = comparison(one, written("other", second="e"))
    assert found["first"] == {"samples": 1, "operations": 1, "differing": []}
    assert found["second"] == {"samples": 1, "operations": 1, "differing": [("exp", 0)]}
    assert comparison(one, written("drawn otherwise", inputs="f", second="e"))["second"]["samples"] == 0
    line = json.loads(one.read_text(encoding="utf-8"))
    del line["second"]
    (tmp_path / "refused").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert comparison(one, tmp_path / "refused")["second"]["differing"] == [("exp", 0)]
