"""The page of operations is the table that the mode looks up."""

from pathlib import Path

from seedbed.portable.__main__ import EXPLANATIONS, page
from seedbed.portable.table import OPERATIONS

PAGE = Path(__file__).parents[1] / "docs" / "portable-operations.md"


def test_the_page_is_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: python -m seedbed.portable"


def test_every_kind_is_explained() -> None:
    assert {operation.kind for operation in OPERATIONS.values()} <= set(EXPLANATIONS)
