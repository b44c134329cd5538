"""The table of operations as a page: ``python -m seedbed.portable > docs/portable-operations.md``."""

import textwrap

from seedbed.portable import operations as operations
from seedbed.portable.table import OPERATIONS

EXPLANATIONS = {
    "exact": "Moves, compares, selects, or works on integers: PyTorch's own kernel.",
    "single": "One IEEE operation for each element: PyTorch's own kernel.",
    "replaced": "Written anew, of exact and single operations.",
    "decomposed": "PyTorch's own decomposition, each part of which is looked up in this table.",
}


def page() -> str:
    """Give the page, in Markdown."""
    lines = [
        "# The operations of portable mode",
        "",
        "Made by `python -m seedbed.portable`, from the table that the mode looks up; a test compares. The names",
        "are those of aten's functional forms: `add` stands for `aten.add.Tensor`, `aten.add_.Tensor`, `aten.add.out`",
        "and `aten._foreach_add` alike. What autograd takes apart by itself (`linear`, `einsum`, `lstm`, ...) arrives",
        "here in its parts. **Whatever is not here is refused** with `NotPortableError`.",
    ]
    for kind, explanation in EXPLANATIONS.items():
        names = sorted(operation.name for operation in OPERATIONS.values() if operation.kind == kind)
        text = textwrap.fill(" · ".join(f"`{name}`" for name in names), 120, break_long_words=False)
        lines += ["", f"## {kind.capitalize()} ({len(names)})", "", explanation, "", text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
