"""Picks from the candidates of a screen one after the other, each conditioned on those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpbo.models.spec import Array

if TYPE_CHECKING:
    from gpbo.acquisition.improvement import Improvement, Mark, Screen


def pick_one_by_one(improvement: Improvement, screen: Screen, values: Array, q: int) -> tuple[list[int], list[Mark]]:
    """As ``Improvement.pick``, by asking the screen anew after each pick."""
    open_ = np.ones(len(screen.U), dtype=bool)
    rows: list[int] = []
    marks = []
    for pick in range(q):
        row = int(np.where(open_, screen.values() if pick else values, -np.inf).argmax())
        if not open_[row]:  # every open value is -inf
            row = int(open_.argmax())
        open_[row] = False
        rows.append(row)
        marks.append(improvement.mark())
        if pick + 1 < q:
            improvement.fantasise(screen.U[row][None])
    return rows, marks


def follow_one_by_one(improvement: Improvement, U: Array) -> list[Mark]:
    """As ``Improvement.follow``, by conditioning on each point by itself."""
    marks = []
    for u in U:
        marks.append(improvement.mark())
        improvement.fantasise(u[None])
    return marks
