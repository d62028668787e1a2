"""A few sizes per octave, to which what grows is padded: shapes then stay the same over many asks."""

from __future__ import annotations

_SMALLEST = 32


def bucket(n: int) -> int:
    """The smallest size that holds n: multiples of 32 up to 512, then eight sizes an octave.

    Above 256, a padded matrix has at most 27 % more entries than needed. A study that grows to n = 1000 meets 24 sizes.
    """
    step = max(_SMALLEST, (1 << max(0, n - 1).bit_length()) // 16)
    return max(_SMALLEST, -(-n // step) * step)


def below(n: int) -> int:
    """The largest size that n fills, 0 if it fills none."""
    size = bucket(n)
    if size == n:
        return size
    step = max(_SMALLEST, (1 << max(0, size - 1).bit_length()) // 16)
    return size - step
