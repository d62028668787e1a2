"""Raw candidates are feasible; wandering covers a finite space exactly once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gpbo import Categorical, Float, Int, Space
from gpbo.search.box import Box
from gpbo.search.candidates import Candidates, wander

MIXED = Space({"x": Float(0, 1), "n": Int(0, 40), "c": Categorical(list("abcd")), "b": Categorical([True, False])})


def test_candidates_are_feasible_and_reproducible():
    candidates = Candidates(MIXED)
    ranked = MIXED.sample(np.random.default_rng(0).random((5, 4)))
    pool = candidates.draw(ranked, np.random.default_rng(1), 192)
    again = candidates.draw(ranked, np.random.default_rng(1), 192)
    np.testing.assert_array_equal(pool.U, again.U)
    assert (len(pool.U), pool.spread) == (192, 96)
    np.testing.assert_array_equal(MIXED.snap(pool.U), pool.U)
    other = candidates.draw(ranked, np.random.default_rng(2), 192)
    assert not np.array_equal(pool.U, other.U)


def test_candidates_keep_to_a_box():
    lower, upper = np.zeros(MIXED.dim), np.ones(MIXED.dim)
    lower[:2], upper[:2] = [0.2, 0.5], [0.3, 0.75]
    box = Box(lower, upper)
    ranked = MIXED.sample(np.full((1, 4), 0.25))
    ranked[0, 1] = 0.6
    pool = Candidates(MIXED).draw(MIXED.snap(ranked), np.random.default_rng(0), 256, box)
    assert box.contains(pool.U).all()
    assert pool.box is box
    np.testing.assert_array_equal(MIXED.snap(pool.U), pool.U)


def test_without_observations_all_candidates_are_spread():
    pool = Candidates(MIXED).draw(np.empty((0, MIXED.dim)), np.random.default_rng(0), 128)
    assert len(pool.U) == pool.spread == 64


def test_local_candidates_surround_the_best_observations_at_every_scale():
    space = Space.from_bounds([0.0] * 4, [1.0] * 4)
    ranked = np.full((1, 4), 0.5)
    pool = Candidates(space).draw(ranked, np.random.default_rng(0), 4000)
    U, spread = pool.U, pool.spread
    distance = np.abs(U[spread:] - 0.5).max(1)
    assert (distance < 0.01).mean() > 0.2
    assert (distance > 0.1).mean() > 0.1
    changed = (U[spread:] != 0.5).sum(1)
    assert (changed == 4).any()
    assert (changed == 1).any()  # steps along a single parameter as well


@pytest.mark.parametrize(
    "space",
    [
        Space({"a": Int(0, 0)}),
        Space({"a": Int(0, 1)}),
        Space({"a": Int(1, 12), "b": Categorical(list("abc")), "c": Float(0, 1, step=0.25)}),
    ],
    ids=["one", "two", "180"],
)
def test_wandering_covers_a_finite_space(space):
    walk = list(wander(space, np.random.default_rng(0)))
    head, tail = walk[: 8 * 64], walk[8 * 64 :]
    keys = space.keys(np.array(tail))
    assert len(keys) == len(set(keys)) == space.cardinality  # after the random head every point comes once
    assert set(space.keys(np.array(head))) <= set(keys)


def test_wandering_through_a_huge_space_needs_no_memory_and_does_not_repeat():
    space = Space({f"n{i}": Int(0, 10**9) for i in range(4)})
    some = np.array(list(itertools.islice(wander(space, np.random.default_rng(0)), 600)))
    assert len(set(space.keys(some))) == 600


def test_wandering_in_a_continuous_space_never_ends():
    some = np.array(list(itertools.islice(wander(MIXED, np.random.default_rng(0)), 700)))
    assert len(set(MIXED.keys(some))) == 700
