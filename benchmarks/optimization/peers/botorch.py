"""BoTorch as its tutorials use it."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks import stock
from benchmarks.optimization.peers.base import Params
from gpbo import Space


class BoTorch:
    """``SingleTaskGP``, ``LogExpectedImprovement`` and ``optimize_acqf``; for batches ``qLogExpectedImprovement``.

    A batch is chosen point by point (``sequential=True``). Works in the unit cube; integers and categories are relaxed
    and the proposal is moved to the nearest feasible point.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        params: list[Params],
        values: list[float],
        options: dict[str, Any] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.space, self.options = space, options
        self.params, self.values = list(params), list(values)

    def ask(self, q: int) -> list[Params]:
        """The next points to evaluate."""
        x = torch.from_numpy(self.space.encode(self.params))
        y = -torch.tensor(self.values, dtype=torch.float64)
        found = stock.ask(x, y, q, self.options)
        return self.space.decode(self.space.snap(found.numpy()))

    def tell(self, params: list[Params], values: list[float]) -> None:
        """The values of the last points."""
        self.params += params
        self.values += values
