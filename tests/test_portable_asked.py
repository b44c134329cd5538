"""What a GPU asks portable mode for is what a CPU asks for, without a GPU: PyTorch's own samples of its operations.

What decides above the mode (composite operations, autocast, autograd's formulas) is in PyTorch, and a new version of it
may decide otherwise; then this fails, and names the operation.
"""

import json
import subprocess
import sys

from tests.portable_runs import ROOT
from tests.unmeasured import unmeasured

DROPOUT = "is asked for in one operation, of which the mode makes the steps of a CPU (test_portable_random.py)"
SAVED = "saves for the gradient what a GPU needs; in the mode it is what the replaced operation gives, on any device"
KERNELS = "asks for a kernel that a PyTorch without CUDA does not have"
NUMBERS = "asks for numbers, which there are none"
REFUSED = "has factors of other strides, and products by another path for them; these factors are refused"
COPIED = "copies slices of the weight for its second derivative, which are the same numbers"
KNOWN = {
    "nn.functional.dropout": DROPOUT,
    "nn.functional.multi_head_attention_forward": DROPOUT,
    "nn.functional.scaled_dot_product_attention": DROPOUT,
    "_native_batch_norm_legit": SAVED,
    "native_batch_norm": SAVED,
    "nn.functional.batch_norm": SAVED,
    "nn.functional.embedding_bag": SAVED,
    "nn.functional.logsigmoid": SAVED,
    "nn.functional.multilabel_soft_margin_loss": SAVED,
    "geqrf": KERNELS,
    "histogram": KERNELS,
    "histogramdd": KERNELS,
    "nn.functional.mish": KERNELS,
    "nn.functional.multi_margin_loss": KERNELS,
    "nn.functional.multilabel_margin_loss": KERNELS,
    "nn.functional.silu": KERNELS,
    "to_sparse": KERNELS,
    "nn.functional.ctc_loss": NUMBERS,
    "tensor_split": NUMBERS,
    "linalg.cond": REFUSED,
    "linalg.det": REFUSED,
    "linalg.eig": REFUSED,
    "linalg.svdvals": REFUSED,
    "norm": REFUSED,
    "renorm": "has norms of another type for its gradient; refused",
    "nn.functional.conv1d": COPIED,
    "nn.functional.conv2d": COPIED,
    "nn.functional.conv_transpose1d": COPIED,
    "nn.functional.conv_transpose2d": COPIED,
    "nn.functional.conv_transpose3d": COPIED,
}
"""What is asked for otherwise by up to three samples of each, and why it makes no difference."""


def test_a_gpu_asks_for_what_a_cpu_asks_for() -> None:
    """Forward, backward and backward of that; below autocast, whose lists decide too.

    In a process of its own, as to import the samples sets flags.
    """
    command = [sys.executable, "-W", "ignore", "-m", "tests.portable_asked", "--limit=1", "--autocast"]
    done = subprocess.run(command, cwd=ROOT, env=unmeasured(), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    found = answer["differing"]
    assert found.keys() <= KNOWN.keys(), found
    assert "renorm" in found, "the comparison finds nothing"
    assert answer["samples"] > 500
