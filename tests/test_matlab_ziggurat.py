"""MATLAB's ziggurat: its tables, and numbers that do not depend on how the tries are cut into chunks."""

from hashlib import sha256

import numpy as np
import pytest

from seedbed.matlab import twister, ziggurat


def test_the_widths_are_matlabs() -> None:
    """The digest is that of the table in C code that MATLAB Coder generated, 257 doubles."""
    widths, _ = ziggurat.tables()
    assert widths[[0, 1, 55, 140, 147, 150, 168, 171, 181, 223, 255, 256]].tolist() == [
        0.0,
        0.215241895984875,
        1.02718196603564,
        1.61765686957301,
        1.66683029616166,
        1.68824320943719,
        1.82247454009388,
        1.84605785028518,
        1.92801233405266,
        2.38082279517208,
        3.65415288536101,
        3.91075795952492,
    ]
    assert (
        sha256(widths.astype("<f8").tobytes()).hexdigest()
        == "0d3e827ab339109ed429f17a9855e6bedcdb166a258ed89b0d231bc9184a29d7"
    )


def test_the_heights_are_the_density_at_the_widths() -> None:
    widths, heights = ziggurat.tables()
    np.testing.assert_allclose(heights, np.exp(-widths * widths / 2), rtol=5e-14)
    assert heights[[0, 1, 255, 256]].tolist() == [1.0, 0.977101701267673, 0.0012602859304986, 0.000477467764609386]


def test_all_strips_have_the_same_area() -> None:
    widths, heights = ziggurat.tables()
    areas = widths[1:256] * (heights[:255] - heights[1:256])
    np.testing.assert_allclose(areas, 0.004928673233974658, rtol=1e-11)


def test_nobody_can_change_the_tables() -> None:
    for table in ziggurat.tables():
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000, 1 << 20])
def test_chunks_make_no_difference(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = twister.seeded(3), twister.seeded(3)
    expected = ziggurat.normals(whole, 20_000)
    monkeypatch.setattr(ziggurat, "CHUNK", chunk)
    assert ziggurat.normals(parts, 20_000).tobytes() == expected.tobytes()
    assert parts.random_sample() == whole.random_sample()


def test_the_numbers_are_normal() -> None:
    values = ziggurat.normals(twister.seeded(1), 1_000_000)
    assert abs(values.mean()) < 0.005
    assert abs(values.std() - 1) < 0.004
    beyond = np.count_nonzero(np.abs(values) > 3.65415288536101)
    assert abs(beyond - 258) < 80  # two-sided, of a million; 5 standard deviations
    assert values.min() < -4
    assert values.max() > 4
