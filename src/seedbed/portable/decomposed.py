"""Operations that PyTorch's own decompositions (`torch._decomp`) take apart into others of the table.

Those that were tried: each ran on PyTorch's samples (tests/test_portable_opinfo.py) with every part in the table.
PyTorch has hundreds more; one that is not here is refused, as nobody has looked where it goes on other devices.
"""

from seedbed.portable.table import add

NAMES = """
    _prelu_kernel _prelu_kernel_backward _unsafe_masked_index _unsafe_masked_index_put_accumulate complex glu
    glu_backward grid_sampler_2d ldexp leaky_relu leaky_relu_backward linalg_cross logit logit_backward logspace
    mvlgamma narrow_copy polar sinc softshrink special_entr
""".split()  # noqa: SIM905 - names, not strings

add(*NAMES, kind="decomposed")
