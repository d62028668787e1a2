"""Where the points of an ask come from, by the number of observations and of points wanted: the one table.

| observations | model of the whole space | what is searched on it |
|---|---|---|
| up to 4,000 | exact, all observations | LogEI and, in large batches, sample paths |
| up to 20,000, or the user's ``exact_limit`` | exact, all observations | sample paths; LogEI in regions |
| more | exact, 4,000 of them | sample paths; LogEI in regions |

| points | LogEI in regions | LogEI | sample paths |
|---|---|---|---|
| fewer than 8 | half, once a region holds enough to say how outcomes are curved in it | the rest | – |
| fewer than 64 | a quarter | the rest | – |
| 64 and more | a fifth | a fifth | the rest |

All of these search a model of clipped outcomes instead while ``clipped`` finds that it predicts the better ones better.
Half of the points by LogEI of the whole space, and a single one, are by that of a model with sums over single
parameters as long as ``sums`` has a use for one: of two models that may both be right each gets its say.

The second table holds up to 4,000 observations. Beyond, where LogEI of the whole space is too dear, its share goes to
the regions by half and to the paths by half. Without regions (few, noisy or tied observations) their share is LogEI's.

Before that come space-filling points alone, and then, until there are three points a parameter, every second of those
asked for one at a time: a model of a few values in many dimensions can go through noise as well as through a function,
and where it points it learns little that would tell the two apart.

LogEI costs O(n^2) an evaluation and chains its picks, a sample path O(n) and none. So the picks by LogEI from any one
model are limited to what costs about as much as 200 of them at n = 1,000, but not below 32 and not above 512, and
sample paths get whatever is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# below so many points: shares of regions, and of LogEI on the whole
SHARES: tuple[tuple[float, tuple[float, float]], ...] = ((8, (0.5, 0.5)), (64, (0.25, 0.75)), (math.inf, (0.2, 0.2)))
EXACT = 20_000  # a factor of 3.2 GB
_SUBSET = 4_000
_LOGEI = 4_000
_REGION = 1 / 3  # of the observations
_MOST_IN_REGION = 1_500
_CHAIN = 2e8  # points times squared observations
_MOST_SPREAD = 24  # space-filling points: no design fills many dimensions


@dataclass(frozen=True)
class Plan:
    """What a batch is made of.

    Attributes:
        local: Points from each region's model.
        whole: Points by LogEI on the model of the whole space.
        paths: Points from sample paths of that model.
        candidates: Raw candidates of each search.
    """

    local: tuple[int, ...]
    whole: int
    paths: int
    candidates: int


def space_filling_start(n_params: int) -> int:
    """Space-filling points before the first model: parameters + 1, at least 5 and at most 24."""
    return max(5, min(_MOST_SPREAD, n_params + 1))


def still_spread(asked: int, start: int, n_params: int) -> bool:
    """Whether the next single point is space-filling although there is a model.

    Args:
        asked: Observations, pending and failed points.
        start: Points before the first model.
        n_params: Parameters.
    """
    return start <= asked < min(_MOST_SPREAD, 3 * n_params) and (asked - start) % 2 == 1


def most_modelled(n: int, limit: int | None = None, exact: int = EXACT) -> int:
    """Observations that the model of the whole space holds of n.

    Args:
        n: All observations.
        exact: Observations up to which it holds all of them.
        limit: Bytes of memory for everything; the factor, with a second one while it grows, takes no more than half.
    """
    most = n if n <= exact else _SUBSET
    return most if limit is None else max(1, min(most, math.isqrt(limit // 37)))


def plan(n: int, q: int, asked: int, *, regions: int, hurry: bool = False) -> Plan:
    """How many points come from where.

    Args:
        n: Observations.
        q: Points wanted.
        asked: Points handed out before; shares that are not whole numbers even out over a study.
        regions: Regions whose models can be used.
        hurry: Whether sample paths provide all of a batch.
    """
    local, whole = next(shares for limit, shares in SHARES if q < limit)
    if hurry and q > 1:
        local, whole = 0.0, 0.0
    elif not regions:
        local, whole = 0.0, local + whole
    if not affordable(n):
        local, whole = (local + 0.5 * whole, 0.0) if regions else (0.0, 0.0)
    first, second = (_portion(asked, q, share) for share in (local, local + whole))
    in_regions = tuple(
        min(_chain(max(1, region_size(n))), first // regions + (r < first % regions)) for r in range(regions)
    )
    in_whole = min(_chain(n), second - first)
    candidates = 1024 if q < 512 else 2048 if q < 2048 else 4096
    return Plan(in_regions, in_whole, q - sum(in_regions) - in_whole, candidates)


def _chain(n: int) -> int:
    """Most picks by LogEI from a model of n observations."""
    return max(32, min(512, int(_CHAIN / n**2)))


def by_sums(whole: int) -> int:
    """Points of so many by LogEI of the whole space that are by a model with sums: half of them, and a single one."""
    return max(1, whole // 2)


def region_size(n: int) -> int:
    """Observations that a region's model holds of n."""
    return min(int(n * _REGION), _MOST_IN_REGION)


def affordable(n: int) -> bool:
    """Whether LogEI of the whole space is."""
    return n <= _LOGEI


def most_regions(n: int, q: int, *, determined: bool) -> int:
    """Regions worth modelling: one around the incumbent, more where one holds but a small part of what is known.

    Args:
        n: Observations.
        q: Points wanted.
        determined: Whether those of a region determine the curvature of the outcomes.
    """
    if affordable(n):
        return 0 if q < 8 and not determined else 1
    return 4 if n <= EXACT else 8


def _portion(asked: int, q: int, share: float) -> int:
    return int((asked + q) * share + 1e-9) - int(asked * share + 1e-9)
