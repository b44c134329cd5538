"""What the README and the committed records claim is what the records say."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from seedbed import report
from seedbed.cli import app
from seedbed.comparison import Relation
from seedbed.promise import Promises
from seedbed.record import compare_records, read
from tests.conftest import Write

ROOT = Path(__file__).parents[1]
RECORDS = sorted(path.parent for path in ROOT.glob("records/*/record.json"))


def test_there_is_a_record() -> None:
    assert RECORDS


@pytest.mark.parametrize("folder", RECORDS, ids=lambda folder: folder.name)
def test_a_committed_record_is_whole_and_its_page_is_its_own(folder: Path) -> None:
    record = read(folder).record
    expected = report.markdown(record) + "\n" + report.markdown(record, detail=True)
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page.endswith(expected), f"write it again: seedbed show {folder.name} --markdown"


def test_the_readmes_table_is_the_records() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ((name, table),) = re.findall(r"<!-- made by `seedbed show records/(\S+) .*?-->\n((?:\|.*\n)+)", readme)
    assert table == report.markdown(read(ROOT / "records" / name).record)


def test_the_readmes_comparison_of_machines_is_the_records() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"\| same bits on both \| (.*) \|\n", readme)
    one, other = (read(ROOT / "records" / name) for name in ("amd-zen4-2cores", "intel-emerald-rapids-2cores"))
    same: dict[str, list[bool]] = {}
    for match in compare_records(one, other, Promises()):
        assert match.comparison
        same.setdefault(match.level, []).append(match.comparison.relation is Relation.IDENTICAL)
    assert row.split(" | ") == [f"{sum(each)} of {len(each)}" for each in same.values()]


def test_the_readmes_own_experiment_reproduces(study: Write) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# my_study.py\n(.*?)```", readme, re.DOTALL)
    (settings,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    study(code)
    Path("pyproject.toml").write_text(settings.replace("my_study:", "study:"), encoding="utf-8")
    result = CliRunner().invoke(app, ["repro", "--level", "deterministic", "--vary", "rerun", "--out", "mine"])
    assert result.exit_code == 0
    assert {cell.experiment for cell in read(Path("mine")).record.cells if cell.kept} == {"study:train"}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^):#]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
