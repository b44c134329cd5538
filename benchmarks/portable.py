"""What portable mode costs: PyTorch's own operations and training steps, inside the mode and outside, on one thread.

Memory is measured in a process of its own for each: what the work takes beyond the inputs, the inputs included.
`python -m tests.portable_gpu` measures the same on a GPU.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import run
from timeit import Timer

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name that everybody gives it)

from benchmarks.timing import Call, Row, Times
from seedbed.portable import PortableMode
from seedbed.seeding import set_all_seeds
from seedbed.suite import training

SIZE = 1024
"""Rows and columns of the matrices."""

CALLS = 5
"""At a time: the mode is entered once for so many. Each is timed by itself, so that what else runs now spoils few."""

EXPERIMENTS: Sequence[Callable[..., object]] = (training.cnn, training.transformer)

PEER = "PyTorch, float32"


@dataclass(frozen=True, kw_only=True)
class Multiple(Row):
    """A benchmark whose bar is a multiple of the peer's figure; the best calls are compared."""

    most: float

    @property
    def ratio(self) -> float | None:
        """Seedbed's best over the peer's best."""
        return min(self.ours) / min(self.theirs) if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the best is within the bar."""
        return None if self.ratio is None else self.ratio <= self.most

    @property
    def bar(self) -> str:
        """The bar in words."""
        return f"{self.most:g} times"


@dataclass(frozen=True, kw_only=True)
class Memory(Multiple):
    """Bytes in place of seconds."""

    def text(self, times: Times | None) -> str:
        """Say megabytes."""
        return f"{min(times) / 1e6:.1f} MB" if times else ""


def measure(rounds: int, device: str = "cpu") -> Iterator[Row]:
    """Time single operations, a training step, and the experiments; then the memory of two operations."""
    with one_thread(), torch.device(device):
        for name, (most, call) in operations().items():
            yield compared(name, most, call, call, rounds)
        yield compared("a step of an MLP 256-512-512-10, batch 256, Adam", 6, step(), step(), rounds)
    with one_thread():
        for experiment in EXPERIMENTS:
            call = partial(seeded, experiment, device)
            yield compared(f"experiment {experiment.__name__}", 10, call, call, min(rounds, 3), calls=1)
    for name in MEMORY:
        ours, theirs = (peak(name, device, portable=portable) for portable in (True, False))
        yield Memory(name=f"peak memory of {name}", ours=[ours], peer=PEER, theirs=[theirs], most=4)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compared(name: str, most: float, ours: Call, theirs: Call, rounds: int, calls: int = CALLS) -> Multiple:
    """Take times in turns, of `calls` each; the first round is not counted."""
    turns = [(times(ours, calls, portable=True), times(theirs, calls)) for _ in range(rounds + 1)][1:]
    taken, theirs_taken = ([time for turn in side for time in turn] for side in zip(*turns, strict=True))
    return Multiple(name=name, ours=taken, peer=PEER, theirs=theirs_taken, most=most)


def times(call: Call, calls: int, *, portable: bool = False) -> Times:
    """Call so many times, in portable mode if so told, and give the seconds that each took."""
    with PortableMode() if portable else nullcontext():
        return Timer(partial(finished, call)).repeat(calls, 1)


def finished(call: Call) -> None:
    """Call, and wait until a GPU is done."""
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def operations() -> Mapping[str, tuple[float, Call]]:
    """Give each operation with its bar."""
    matrix, other = matrices()
    image, weight = convolved()
    return {
        f"matmul {SIZE} x {SIZE}": (5, partial(torch.matmul, matrix, other)),
        f"conv2d 3 x 3, {' x '.join(map(str, image.shape))} to {len(weight)}": (
            8,
            partial(F.conv2d, image, weight, padding=1),
        ),
        f"softmax {SIZE} x {SIZE}": (8, partial(torch.softmax, matrix, 1)),
        f"layer_norm {SIZE} x {SIZE}": (
            10,
            partial(F.layer_norm, matrix, (SIZE,), torch.ones(SIZE), torch.zeros(SIZE)),
        ),
        f"sum(dim=1) {SIZE} x {SIZE}": (20, partial(torch.sum, matrix, 1)),
    }


def matrices() -> tuple[Tensor, Tensor]:
    """Give two square matrices."""
    return torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)


def convolved() -> tuple[Tensor, Tensor]:
    """Give images and a weight."""
    n = SIZE // 32  # 32 images of 64 channels
    return torch.randn(n, 2 * n, 32, 32), torch.randn(2 * n, 2 * n, 3, 3)


def step() -> Call:
    """Make a training step: forward, backward, optimizer."""
    width = SIZE // 2
    layers = (nn.Linear(width // 2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    model = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(model.parameters())
    samples, labels = torch.randn(SIZE // 4, width // 2), torch.randint(10, (SIZE // 4,))

    def train() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(samples), labels).backward()
        optimizer.step()

    return train


def seeded(experiment: Callable[..., object], device: str) -> object:
    """Run an experiment from the same seed."""
    set_all_seeds(1337)
    return experiment(seed=1337, device=device)


MEMORY: Mapping[str, tuple[Callable[..., Tensor], Callable[[], tuple[Tensor, Tensor]], Callable[[Tensor], Tensor]]] = {
    "matmul": (torch.matmul, matrices, lambda x: x[:4, :4]),
    "conv2d": (partial(F.conv2d, padding=1), convolved, lambda x: x[:4, :4]),
}
"""Operations, their inputs, and what makes small inputs of them."""


def peak(name: str, device: str, *, portable: bool) -> float:
    """Give the bytes that an operation takes at most, its inputs included, in a process that does nothing else."""
    mode = "portable" if portable else "plain"
    command = [sys.executable, "-m", "benchmarks.portable", name, mode, device, str(SIZE)]
    return float(run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout)


def main(name: str, mode: str, device: str) -> None:
    """Print the bytes of one operation; a small one comes first, so that what is loaded once does not count."""
    function, make, small = MEMORY[name]
    with torch.device(device):
        inputs = make()
    beyond = beyond_on_cpu if device == "cpu" else beyond_on_gpu
    with one_thread(), PortableMode() if mode == "portable" else nullcontext():
        function(*(small(each) for each in inputs))
        print(beyond(partial(function, *inputs)) + sum(each.nbytes for each in inputs))


def beyond_on_cpu(call: Call) -> int:
    """Give the bytes that a call takes at most, beyond what is there before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _kilobytes("VmRSS")
    call()
    return 1024 * (_kilobytes("VmHWM") - before)


def beyond_on_gpu(call: Call) -> int:
    """Give the bytes of the GPU's memory that a call takes at most, beyond what is there before it."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return torch.cuda.max_memory_allocated() - before


def _kilobytes(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))


if __name__ == "__main__":
    SIZE = int(sys.argv[4])
    main(*sys.argv[1:4])
