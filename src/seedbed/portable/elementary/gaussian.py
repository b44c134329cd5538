"""Tables of ``exp(-b c * c)`` and its integral from c on, in integers: what the error function is interpolated from."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from seedbed.portable.elementary.tables import EXACTLY, decimal, pi, power_of_e

_BITS = 136
_ONE = 1 << _BITS


@dataclass(frozen=True, slots=True)
class Gaussian:
    """The function ``exp(-b c * c)`` at points c from 0 on, ``1 / step`` apart; `b` is a multiple of a half."""

    b: Fraction
    step: int

    def densities(self, count: int) -> list[Decimal]:
        """Give the function at so many points, divided by its integral over all numbers."""
        multiply = EXACTLY.multiply
        step = power_of_e(-self.b / self.step**2)
        value, ratio, square = EXACTLY.sqrt(EXACTLY.divide(decimal(self.b), decimal(pi()))), step, multiply(step, step)
        values = []
        for _ in range(count):
            values.append(value)
            value, ratio = multiply(value, ratio), multiply(ratio, square)
        return values

    def ratios(self, count: int) -> list[Decimal]:
        """Give the integral from each of so many points on, divided by the function there (Mills' ratio).

        From the last to the first, which is the direction in which errors become smaller.
        """
        ratios = [self._last(count - 1)]
        for point in range(count - 2, -1, -1):
            ratio, area = self._to_next(point)
            ratios.append(area // self.step + (ratio * ratios[-1] >> _BITS))
        return [decimal(Fraction(ratio, _ONE)) for ratio in reversed(ratios)]

    def _last(self, point: int) -> int:
        """Laplace's continued fraction, which is accurate where the point is far out."""
        argument = 2 * self.b * Fraction(point, self.step)
        fraction = Fraction(argument)
        for place in range(100, 0, -1):
            fraction = Fraction(int((argument + 2 * self.b * place / fraction) * _ONE), _ONE)
        return int(_ONE / fraction)

    def _to_next(self, point: int) -> tuple[int, int]:
        """Sum ``exp(-b (2 c h + h * h))`` for h = 1 / step, and its integral over h, divided by h: Taylor's series."""
        terms = list(self._terms(point))
        return sum(terms), sum(term // (place + 1) for place, term in enumerate(terms))

    def _terms(self, point: int) -> Iterator[int]:
        factor, divisor = (2 * self.b).numerator, (2 * self.b).denominator * self.step**2
        before, term, place = 0, _ONE, 0
        while abs(term) > 1 or abs(before) > 1:
            yield term
            place += 1
            before, term = term, -(factor * (point * term + before)) // (divisor * place)
