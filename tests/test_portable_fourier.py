"""Fourier transforms and windows: near PyTorch's in float64, and their gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seedbed.errors import NotPortableError
from seedbed.portable import PortableMode
from tests.portable_native import numbers
from tests.test_portable_complex import complex_numbers

LENGTHS = (1, 2, 3, 4, 6, 8, 15, 28, 31, 37, 74, 101, 128, 121)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "fft": torch.fft.fft,
    "fft ortho": lambda x: torch.fft.fft(x, norm="ortho"),
    "ifft": lambda x: torch.fft.ifft(x * (1 + 2j)),
    "fft2": torch.fft.fft2,
    "ifft2": lambda x: torch.fft.ifft2(x * (1 + 2j)),
    "rfft": torch.fft.rfft,
    "rfft2": torch.fft.rfft2,
    "irfft even": lambda x: torch.fft.irfft(x * (1 + 2j)),
    "irfft odd": lambda x: torch.fft.irfft(x * (1 + 2j), n=2 * x.shape[-1] - 1),
    "irfft2": lambda x: torch.fft.irfft2(torch.fft.rfft2(x)),
    "hfft": lambda x: torch.fft.hfft(x * (1 + 2j)),
    "fft of the first dimension": lambda x: torch.fft.fft(x, dim=0),
}


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("n", LENGTHS)
def test_each_length_is_pytorchs(n: int, dtype: torch.dtype) -> None:
    x = complex_numbers(3, n, dtype=dtype)
    with PortableMode():
        found = torch.fft.fft(x)
        assert torch.allclose(torch.fft.ifft(found), x, atol=1e-6)
    exact = torch.fft.fft(x.to(torch.complex128))
    tolerance = 1e-13 if dtype == torch.complex128 else 1e-6
    torch.testing.assert_close(found.to(torch.complex128), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_pytorchs(name: str) -> None:
    x = numbers(2, 6, 10, dtype=torch.float64).requires_grad_()

    def both() -> tuple[Tensor, Tensor]:
        found = FUNCTIONS[name](x)
        (grad,) = torch.autograd.grad(found.abs().pow(2).sum() + found.abs().sum(), x)
        return found, grad

    with PortableMode():
        found = both()
    torch.testing.assert_close(found, both())


def test_a_spectrogram_there_and_back() -> None:
    x, window = numbers(2, 64), torch.hann_window(16)
    with PortableMode():
        made = torch.hann_window(16)
        spectrum = torch.stft(x, 16, 4, window=made, return_complex=True)
        back = torch.istft(spectrum, 16, 4, window=made, length=64)
    torch.testing.assert_close(made, window)
    torch.testing.assert_close(spectrum, torch.stft(x, 16, 4, window=window, return_complex=True))
    torch.testing.assert_close(back, x)


@pytest.mark.parametrize("window", [torch.hann_window, torch.hamming_window, torch.blackman_window])
@pytest.mark.parametrize("length", [0, 1, 2, 7])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows_are_pytorchs(window: Callable[..., Tensor], length: int, periodic: bool) -> None:
    with PortableMode():
        found = window(length, periodic, dtype=torch.float64)
    torch.testing.assert_close(found, window(length, periodic, dtype=torch.float64), rtol=1e-12, atol=1e-15)


def test_other_types_are_refused() -> None:
    with PortableMode(), pytest.raises(NotPortableError, match="not torch.float16"):
        torch.ops.aten._fft_r2c(torch.ones(4).half(), [0], 0, True)


def test_windows_of_other_types_are_refused() -> None:
    with PortableMode():
        with pytest.raises(RuntimeError, match="not of torch.int64"):
            torch.hann_window(4, dtype=torch.int64)
        with pytest.raises(NotPortableError, match="float8"):
            torch.hann_window(4, dtype=torch.float8_e5m2)


class SpectralConvolution(torch.nn.Module):
    """The layer of Fourier neural operators."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(2, 3, 4, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        modes = torch.fft.rfft(x)[..., :4]
        found: Tensor = torch.fft.irfft(torch.einsum("bik,iok->bok", modes, self.weight), n=x.shape[-1])
        return found


def results() -> dict[str, Tensor]:
    generator_state = torch.get_rng_state()
    with PortableMode():
        torch.manual_seed(3)
        layer = SpectralConvolution()
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            layer(numbers(5, 2, 30)).pow(2).mean().backward()
            optimizer.step()
        found = {"trained": layer.weight.detach()}
        found |= {f"fft {n}": torch.fft.fft(complex_numbers(3, n)) for n in LENGTHS}
        found |= {name: function(numbers(2, 6, 10)) for name, function in FUNCTIONS.items()}
    torch.set_rng_state(generator_state)
    return found
