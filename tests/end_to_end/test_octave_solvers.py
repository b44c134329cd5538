"""The table of `seedbed.matlab.solvers` beside a real Octave: on one library to the bit, otherwise within its bound.

The one library is the OpenBLAS of SciPy's wheel. Its functions have names of their own (``scipy_dgemm_``), so a library
of jumps is made for Octave, with the usual names.

``python -m tests.end_to_end.test_octave_solvers`` prints how many results had the same bits.
"""

import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from seedbed.matlab.exchange import load_mat, save_mat
from seedbed.matlab.solvers import TWINS, Twin, agrees
from tests.end_to_end.octave import needs_octave, run_octave

pytestmark = needs_octave

CASES = [(size, seed) for size in (3, 10, 50, 200) for seed in range(3)]
JUMPS = {"x86_64": "jmp {}@PLT", "aarch64": "b {}"}

OTHERS: dict[str, Callable[..., Any]] = {
    "np.linalg.solve(A, b)": np.linalg.solve,
    "np.linalg.solve(P, b)": np.linalg.solve,
    "np.linalg.solve(R, b)": np.linalg.solve,
    "np.linalg.lstsq(T, c)[0]": lambda a, b: np.linalg.lstsq(a, b)[0],
    "np.linalg.inv(A)": np.linalg.inv,
    "np.linalg.cholesky(P).T": lambda a: np.linalg.cholesky(a).T,
    "np.linalg.qr(T, mode='complete')": lambda a: np.linalg.qr(a, mode="complete"),
    "np.linalg.qr(T)": np.linalg.qr,
    "np.linalg.eigh(S)[::-1]": lambda a: (np.linalg.eigh(a)[1], np.linalg.eigh(a)[0][:, None]),
    "np.linalg.svd(A)": lambda a: (np.linalg.svd(a)[0], np.linalg.svd(a)[1][:, None], np.linalg.svd(a)[2].T),
    "A @ B": np.matmul,
    "A.T @ A": lambda a: a.T @ a,
    "np.sum(A, axis=0), A in columns": lambda a: np.sum(np.asfortranarray(a), axis=0, keepdims=True),
}
"""What the table says is another, written out."""


PRODUCTS: dict[str, Callable[..., Any]] = {
    "[V, D] = eig(S);": lambda v, d: v @ (d * v.T),
    "[U, D, V] = svd(A);": lambda u, d, v: u @ (d * v.T),
}
VECTORS = {"[V, D] = eig(S);": ("V",), "[U, D, V] = svd(A);": ("U", "V")}


def inputs(size: int, seed: int) -> dict[str, Any]:
    rng = np.random.RandomState(1000 * size + seed)
    a, b = rng.standard_normal((2, size, size))
    p = a @ a.T + size * np.eye(size)
    tall, right = rng.standard_normal((2 * size, size)), rng.standard_normal((2 * size, 1))
    found = {"A": a, "B": b, "P": (p + p.T) / 2, "S": (a + a.T) / 2, "R": np.triu(a) + size * np.eye(size)}
    return found | {"T": tall, "c": right, "b": rng.standard_normal((size, 1))}


def solved(folder: Path, **environ: str) -> tuple[str, dict[str, Any]]:
    """Run the table in Octave, on one thread: what it says of its BLAS, and each result."""
    lines = ["out = struct ();"]
    for case, (size, seed) in enumerate(CASES):
        save_mat(folder / f"{case}.mat", inputs(size, seed))
        lines.append(f"load {case}.mat")
        for number, twin in enumerate(TWINS):
            lines.append(twin.matlab)
            lines += [f"out.r{case}_{number}_{i} = full ({name});" for i, name in enumerate(twin.outputs)]
    lines += ["save ('-v6', 'out.mat', '-struct', 'out');", "printf ('%s', version ('-blas'));"]
    blas = run_octave(folder, "\n".join(lines), OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", **environ)
    return blas, load_mat(folder / "out.mat")


def ours(twin: Twin, call: Callable[..., Any], case: int, order: Any) -> tuple[list[Any], Any]:
    """The results of a call, on one thread, and the matrix whose condition counts."""
    given = {name: np.asarray(each, order=order) for name, each in inputs(*CASES[case]).items()}
    with threadpool_limits(1):
        results = call(*(given[name] for name in twin.inputs))
    return list(results) if isinstance(results, tuple) else [results], given[twin.operand]


def compared(
    twin: Twin, call: Callable[..., Any], theirs: dict[str, Any], order: str = "C"
) -> Iterator[tuple[list[Any], list[Any], Any]]:
    """For each case the results here, those of Octave, and the matrix."""
    for case in range(len(CASES)):
        results, matrix = ours(twin, call, case, order)
        yield results, [theirs[f"r{case}_{TWINS.index(twin)}_{place}"] for place in range(len(results))], matrix


def same(actual: Any, expected: Any) -> bool:
    return bool(actual.shape == expected.shape and actual.tobytes() == expected.tobytes())


def counted(title: str, theirs: dict[str, Any]) -> None:
    """Print how many results have the same bits, of the table's calls and of those that it says are others."""
    print(f"\n{title}")
    for twin in TWINS:
        row = [f"`{twin.matlab}`", f"`{twin.python}`", _count(twin, twin.function, theirs)]
        row += [f"`{twin.other}`", _count(twin, OTHERS[twin.other], theirs)] if twin.other else []
        print(" | ".join(row))


def _count(twin: Twin, call: Callable[..., Any], theirs: dict[str, Any]) -> str:
    found = [
        same(*each) for ours, octaves, _ in compared(twin, call, theirs) for each in zip(ours, octaves, strict=True)
    ]
    return f"{sum(found)} of {len(found)}"


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Octave as it is installed."""
    return solved(tmp_path_factory.mktemp("default"))


@pytest.fixture(scope="module")
def one_library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Octave on SciPy's OpenBLAS."""
    return on_scipys_library(tmp_path_factory.mktemp("one"))


def on_scipys_library(folder: Path) -> dict[str, Any]:
    _make_jumps(_scipy_library(), folder)
    blas, results = solved(folder, LD_LIBRARY_PATH=str(folder))
    assert "OpenBLAS (config" not in blas  # that is how Octave names one whose functions have the usual names
    return results


def _scipy_library() -> Path:
    scipy.linalg.lapack.dgetrf(np.eye(2))
    for each in threadpool_info():
        if each["internal_api"] == "openblas" and Path(each["filepath"]).name.startswith("libscipy_openblas-"):
            return Path(each["filepath"])
    pytest.skip("SciPy has no OpenBLAS of its own here (its wheels for Linux do)")


def _make_jumps(library: Path, folder: Path) -> None:
    """Make libblas.so.3 and liblapack.so.3, in which each function jumps to SciPy's of that name."""
    compiler, reader, jump = shutil.which("cc"), shutil.which("nm"), JUMPS.get(platform.machine())
    if compiler is None or reader is None or jump is None:
        pytest.skip("needs cc and nm (Debian's build-essential), on x86-64 or ARM64")
    listed = subprocess.run(
        [reader, "-D", "--defined-only", library], capture_output=True, text=True, check=True
    ).stdout
    names = sorted({line.split()[-1] for line in listed.splitlines()})
    names = [name for name in names if name.startswith("scipy_") and name.endswith("_") and name.islower()]
    lines = [f".globl {name[6:]}\n.type {name[6:]}, %function\n{name[6:]}: {jump.format(name)}" for name in names]
    source = folder / "jumps.s"
    source.write_text("\n".join([".text", *lines, '.section .note.GNU-stack,"",%progbits', ""]))
    for name in ("libblas.so.3", "liblapack.so.3"):
        links = [f"-Wl,-soname,{name}", "-Wl,--no-as-needed", str(library), f"-Wl,-rpath,{library.parent}"]
        subprocess.run([compiler, "-shared", "-o", folder / name, source, *links], check=True)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.matlab)
def test_one_library_one_kernel_one_thread_the_same_bits(twin: Twin, order: str, one_library: dict[str, Any]) -> None:
    """In either order of memory; what another library does with the same calls is the next test's."""
    for actual, expected, _ in compared(twin, twin.function, one_library, order):
        assert all(map(same, actual, expected))


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.matlab)
def test_any_library_the_same_within_the_bound(twin: Twin, default: tuple[str, dict[str, Any]]) -> None:
    """Vectors of eigenvalues and singular values hang on the gaps between those, so their product is compared."""
    for actual, expected, matrix in compared(twin, twin.function, default[1]):
        if twin.matlab in PRODUCTS:
            actual, expected = ([*each, PRODUCTS[twin.matlab](*each)] for each in (actual, expected))
        for name, found, wanted in zip((*twin.outputs, "product"), actual, expected, strict=False):
            assert name in VECTORS.get(twin.matlab, ()) or agrees(found, wanted, matrix), name


def test_what_the_table_says_is_another_is_written_out() -> None:
    assert {twin.other for twin in TWINS if twin.other} == set(OTHERS)


def main() -> None:
    with TemporaryDirectory() as one, TemporaryDirectory() as default:
        counted("Octave on SciPy's OpenBLAS", on_scipys_library(Path(one)))
        blas, results = solved(Path(default))
        counted(f"Octave as installed: {blas}", results)


if __name__ == "__main__":
    main()
