"""Coordinates along the axes of the curvature: what they are, and that points come back from them feasible."""

from __future__ import annotations

import numpy as np
import pytest

from gpbo import Space
from gpbo.search.axes import Axes, TurnedBatch, enough, principal
from gpbo.search.box import Box
from gpbo.search.candidates import Candidates
from gpbo.search.greedy import Chosen


@pytest.fixture
def turn():
    return np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]


@pytest.fixture
def axes(turn):
    return Axes(np.array([0.1, 0.5, 0.9, 0.4]), turn)


@pytest.mark.parametrize("curvature", [[1.0, 10.0, 100.0, 1e4], [1e-6, 1.0, 2.0, 1e6]])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_axes_of_a_quadratic_are_found(turn, curvature, sign):
    rng = np.random.default_rng(0)
    X, centre = rng.random((60, 4)), np.full(4, 0.5)
    y = sign * np.square((X - 0.3) @ turn) @ np.array(curvature)
    found, along = principal(X, y, centre)
    along = along / along.max() * 2 * max(curvature)  # up to the unit of the outcome
    strong = np.array(curvature) > 1e-3 * max(curvature)  # weaker ones drown in the rounding of the strongest
    for column, expected in zip(turn.T[strong], np.array(curvature)[strong], strict=True):
        at = int(np.abs(found.directions.T @ column).argmax())
        assert abs(found.directions[:, at] @ column) > 1 - 1e-4
        assert along[at] == pytest.approx(2 * expected, rel=1e-3)


@pytest.mark.parametrize(("scale", "offset"), [(1e-12, 3e-9), (1.0, 1e6), (1e304, 0.0), (1e-300, 0.0)])
def test_units_of_the_outcome_do_not_turn_the_axes(turn, scale, offset):
    X = np.random.default_rng(1).random((60, 4))
    y = np.square((X - 0.3) @ turn) @ [1.0, 5.0, 30.0, 200.0]
    one, _ = principal(X, y, X[0])
    other, _ = principal(X, scale * y + offset, X[0])
    np.testing.assert_allclose(np.abs(np.sum(one.directions * other.directions, 0)), 1.0, atol=1e-6)


@pytest.mark.parametrize("y", [np.zeros(60), np.arange(60.0)], ids=["constant", "linear in nothing"])
def test_outcomes_without_curvature_give_some_axes(y):
    found, along = principal(np.random.default_rng(1).random((60, 4)), y, np.full(4, 0.5))
    np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(4), atol=1e-12)
    assert np.isfinite(along).all()


def test_points_in_one_plane_give_some_axes():
    X = np.random.default_rng(1).random((60, 4))
    X[:, 2] = 0.5
    found, along = principal(X, np.square(X).sum(1), np.full(4, 0.5))
    np.testing.assert_allclose(found.directions.T @ found.directions, np.eye(4), atol=1e-12)
    assert np.isfinite(along).all()


def test_there_and_back(axes):
    U = np.random.default_rng(2).random((50, 4))
    np.testing.assert_allclose(axes.back(axes.turned(U)), U, atol=1e-14)


def test_points_outside_the_cube_are_moved_onto_its_faces(axes):
    V = np.random.default_rng(2).normal(size=(50, 4))
    snapped = axes.snap(V)
    U = axes.back(snapped)
    assert ((U >= 0) & (U <= 1)).all()
    np.testing.assert_allclose(axes.turned(U), snapped, atol=1e-12)
    inside = ((axes.centre + V @ axes.directions.T >= 0) & (axes.centre + V @ axes.directions.T <= 1)).all(1)
    assert 0 < inside.sum() < 50
    np.testing.assert_array_equal(snapped[inside], V[inside])


def test_candidates_along_axes_lie_in_their_box_or_on_a_face(axes):
    box = Box(np.array([-0.2, -0.1, 0.0, -0.05]), np.array([0.2, 0.3, 0.1, 0.4]))
    pool = Candidates(axes).draw(
        axes.turned(np.random.default_rng(0).random((5, 4))), np.random.default_rng(1), 256, box
    )
    assert pool.U.shape == (256, 4)
    assert pool.spread == 128
    assert box.contains(pool.U).mean() > 0.3
    U = axes.back(pool.U)
    assert ((U >= 0) & (U <= 1)).all()


def test_a_batch_receives_points_of_the_cube(axes):
    chosen = Chosen(Space.from_bounds([0.0] * 4, [1.0] * 4), set(), np.empty((0, 4)))
    V = axes.turned(np.array([[0.2, 0.3, 0.4, 0.5]]))
    taken = TurnedBatch(chosen, axes).take([V], np.random.default_rng(0))
    np.testing.assert_allclose(taken, V[0])
    np.testing.assert_allclose(chosen.points[0], [0.2, 0.3, 0.4, 0.5], atol=1e-14)


def test_enough_is_more_than_the_coefficients_of_a_quadratic():
    assert not enough(98, 10)
    assert enough(99, 10)
    assert not enough(1000, 1)  # one parameter has no directions
