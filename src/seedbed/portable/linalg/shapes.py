"""What PyTorch refuses of matrices before it computes with them: else wrong numbers might come of what does not fit."""

from torch import Tensor


def check_matrices(a: Tensor, name: str) -> None:
    """Refuse what is not a matrix, or a batch of them, of floating point.

    Raises
    ------
    RuntimeError
        As PyTorch.
    """
    if a.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    if not a.is_floating_point():
        raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got {a.dtype}")


def check_square(a: Tensor, name: str) -> None:
    """Refuse matrices that are not square.

    Raises
    ------
    RuntimeError
        As PyTorch.
    """
    check_matrices(a, name)
    rows, columns = a.shape[-2:]
    if rows != columns:
        raise RuntimeError(f"{name}: A must be batches of square matrices, but they are {rows} by {columns} matrices")


def check_system(a: Tensor, b: Tensor, name: str, *, left: bool = True) -> None:
    """Refuse ``a x = b``, or with `left` False ``x a = b``, where there is no such x.

    Raises
    ------
    RuntimeError
        As PyTorch.
    """
    check_square(a, name)
    check_matrices(b, name)
    if a.shape[-1] != b.shape[-2 if left else -1]:
        shapes = " and ".join("x".join(map(str, each.shape[-2:])) for each in (a, b))
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} ({shapes})"
        )
