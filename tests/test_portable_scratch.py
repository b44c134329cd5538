"""Memory that is kept from call to call."""

import threading

import torch

from seedbed.portable import scratch as module
from seedbed.portable.scratch import LARGEST, part, scratch, wide

CPU = torch.device("cpu")


def place(use: str, size: int) -> int:
    """Where the memory is."""
    return scratch(use, (size,), torch.float32, CPU).data_ptr()


def test_the_same_use_has_the_same_memory_and_another_has_another() -> None:
    first = place("tested", 100)
    assert place("tested", 50) == first
    assert place("tested otherwise", 100) != first


def test_it_grows_and_takes_any_type_and_shape() -> None:
    place("grown", 1)
    found = scratch("grown", (3, 50), torch.int64, CPU)
    assert found.shape == (3, 50)
    assert found.dtype == torch.int64
    assert found.is_contiguous()
    assert scratch("grown", (0,), torch.float64, CPU).shape == (0,)


def test_what_is_too_large_is_not_kept() -> None:
    found = scratch("large", (LARGEST + 1,), torch.uint8, CPU)
    assert found.shape == (LARGEST + 1,)
    assert "large" not in module._kept.bytes


def test_a_copy_is_wide_and_leaves_the_original() -> None:
    x = torch.ones(3)
    copied = wide("copied", x).add_(1.0)
    assert copied.dtype == torch.float64
    assert x.tolist() == [1.0] * 3


def test_what_was_first_asked_for_in_inference_may_be_written_to_outside() -> None:
    with torch.inference_mode():
        wide("inferred", torch.ones(3))
    assert wide("inferred", torch.ones(3)).add_(1.0).tolist() == [2.0] * 3


def test_each_thread_has_its_own() -> None:
    here, there = place("threaded", 10), []
    thread = threading.Thread(target=lambda: there.append(place("threaded", 10)))
    thread.start()
    thread.join()
    assert there != [here]


def test_views_are_made_once_and_again_when_memory_grows() -> None:
    def halves(x: torch.Tensor, size: int) -> tuple[torch.Tensor, ...]:
        return tuple(x.split(size))

    def ask(count: int, size: int) -> tuple[torch.Tensor, ...]:
        return part("viewed", (count,), torch.float64, CPU).views(halves, size)

    first = ask(10, 5)
    assert ask(10, 5) is first
    assert [len(each) for each in ask(10, 3)] == [3, 3, 3, 1]
    assert ask(20, 5) is not first
    assert ask(10, 5) is not first
    assert ask(10, 5)[0].data_ptr() == place("viewed", 1)
    assert part("viewed", (LARGEST,), torch.float64, CPU).views(halves, 5) is not None


def test_views_that_were_made_in_inference_may_be_written_to_outside() -> None:
    def first(x: torch.Tensor) -> torch.Tensor:
        return x[:1]

    with torch.inference_mode():
        part("viewed in inference", (3,), torch.float64, CPU).views(first)
    assert part("viewed in inference", (3,), torch.float64, CPU).views(first).zero_().add_(1.0).tolist() == [1.0]
