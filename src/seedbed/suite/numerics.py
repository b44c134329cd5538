"""NumPy's linear algebra and reductions, on fixed inputs: nothing here is random."""

import numpy as np
from numpy.typing import NDArray

from seedbed.suite.inputs import uniform


def linalg(*, seed: int) -> dict[str, object]:
    """Solve a system, decompose by singular values and by eigenvalues; inputs from `seed`.

    Float64, 160 unknowns: enough for OpenBLAS to use every thread. Of the vectors, the first 16 are returned.
    """
    rng = np.random.default_rng(seed)
    matrix = uniform(rng, 160, 160, dtype=np.float64)
    u, s, vt = np.linalg.svd(matrix[:, :80], full_matrices=False)
    eigenvalues, eigenvectors = np.linalg.eigh(matrix + matrix.T)
    return {
        "solve": np.linalg.solve(matrix, uniform(rng, 160, 4, dtype=np.float64)),
        "svd": {"u": u[:, :16], "s": s, "vt": vt[:16]},
        "eigh": {"eigenvalues": eigenvalues, "eigenvectors": eigenvectors[:, :16]},
    }


def reductions(*, seed: int) -> dict[str, object]:
    """Reduce 2**17 values in float32, and as many in float64 by BLAS, which divides them among threads; from `seed`."""
    rng = np.random.default_rng(seed)
    matrix = uniform(rng, 512, 256)
    vectors = uniform(rng, 4, 2**15, dtype=np.float64)
    return {
        "sum": matrix.sum(),
        "mean": matrix.mean(axis=0),
        "std": matrix.std(axis=1)[::4],
        "dot": [vector @ vector for vector in vectors],
        "norm": np.linalg.norm(vectors),
        "matrix_vector": (matrix @ matrix[0])[::4],
        "logsumexp": _logsumexp(matrix)[::4],
        "cumsum": matrix.cumsum()[::2048],
    }


def _logsumexp(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    highest = matrix.max(axis=1, keepdims=True)
    result: NDArray[np.float32] = np.log(np.exp(matrix - highest).sum(axis=1)) + highest[:, 0]
    return result
