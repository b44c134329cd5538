"""Elementary functions, each one fixed sequence of IEEE operations: the same bits on every device.

float32 is computed in float64, to about 31 bits, and rounded once; float64 in pairs of float64. The method is P. T. P.
Tang's (Table-driven implementation of the exponential function in IEEE floating-point arithmetic. ACM Transactions on
Mathematical Software 15 (1989), 144-157; of the logarithm: 16 (1990), 378-400): the value at a point near by comes from
a table, and what is left is short enough for a few terms of Taylor's series. No coefficient was fitted, and no table
typed in: they are computed, exactly, when first needed (`tables`).
"""

from seedbed.portable.elementary.error_function import erf, erfc, erfinv
from seedbed.portable.elementary.exponential import exp, exp2, expm1
from seedbed.portable.elementary.hyperbolic import acosh, asinh, atanh, cosh, sigmoid, sinh, tanh
from seedbed.portable.elementary.inverse_trigonometric import acos, asin, atan, atan2
from seedbed.portable.elementary.logarithm import log, log1p, log2, log10, logaddexp, logaddexp2, xlog1py, xlogy
from seedbed.portable.elementary.power import pow  # noqa: A004 - aten's name
from seedbed.portable.elementary.roots import hypot, rsqrt, sqrt
from seedbed.portable.elementary.trigonometric import cos, sin, tan

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "pow",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "xlog1py",
    "xlogy",
]
