"""The part of the cube that a search stays in, and what of a grid belongs to it."""

from __future__ import annotations

import numpy as np
import pytest

from gpbo import Categorical, Float, Int, Space
from gpbo.search.box import Box
from gpbo.search.candidates import Candidates

MIXED = Space({"x": Float(0, 1), "c": Categorical(list("abc")), "k": Int(1, 4), "n": Int(0, 300), "z": Float(0, 1)})


def test_the_whole_cube_contains_every_point():
    U = MIXED.sample(np.random.default_rng(0).random((50, 5)))
    assert Box.whole(MIXED.dim).contains(U).all()
    assert Box.whole(MIXED.dim).of_points(MIXED).contains(U).all()


def test_a_box_contains_its_corners_and_nothing_beyond():
    box = Box(np.array([0.2, 0.5]), np.array([0.4, 0.5]))
    U = np.array([[0.2, 0.5], [0.4, 0.5], [0.4 + 1e-12, 0.5], [0.4 + 1e-6, 0.5], [0.3, 0.501], [0.1, 0.5]])
    assert box.contains(U).tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("seed", range(4))
def test_candidates_of_a_box_lie_in_the_box_of_its_points(seed):
    rng = np.random.default_rng(seed)
    ends = np.sort(rng.random((2, MIXED.dim)), 0)
    box = Box(*ends)
    around = box.of_points(MIXED)
    assert (around.lower <= box.lower).all()
    assert (around.upper >= box.upper).all()
    continuous = MIXED.levels == 0
    np.testing.assert_array_equal(around.lower[continuous], box.lower[continuous])
    np.testing.assert_array_equal(around.upper[continuous], box.upper[continuous])
    again = around.of_points(MIXED)
    np.testing.assert_array_equal(again.lower, around.lower)
    np.testing.assert_array_equal(again.upper, around.upper)
    centres = MIXED.sample(rng.random((5, 5)))
    for each in (box, around):
        pool = Candidates(MIXED).draw(centres, rng, 512, each)
        assert around.contains(pool.U).all()
        np.testing.assert_array_equal(MIXED.snap(pool.U), pool.U)
