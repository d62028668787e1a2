"""Linear policies for small control tasks with random physical constants; the minimum is not known."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.optimization.member import Member, Params, Recipe, generator
from gpbo import Space

FAMILY = "control"


def _member(key: str, index: int, cost: Callable[[list[float]], float], d: int, reach: float, low: float) -> Member:
    """A policy of d gains in [-reach, reach]; low is a cost that no policy undercuts by much, for the floor."""
    names = [f"x{i}" for i in range(d)]

    def objective(params: Params) -> float:
        value = cost([params[name] for name in names])
        return min(value, 1e9) if math.isfinite(value) else 1e9

    return Member(f"{key}#{index}", FAMILY, Space.from_bounds([-reach] * d, [reach] * d), objective, None, low)


def _regulator(key: str, n_states: int, n_inputs: int, index: int) -> Member:
    """Feedback u = K x of a random, mildly unstable linear system: quadratic cost over 40 steps, in logarithms."""
    rng = generator(key, index)
    a = rng.standard_normal((n_states, n_states))
    a *= float(rng.uniform(0.95, 1.1)) / float(np.abs(np.linalg.eigvals(a)).max())
    b = rng.standard_normal((n_states, n_inputs)) / math.sqrt(n_states)
    weights = np.exp(rng.uniform(-1, 1, n_states))
    effort = float(10 ** rng.uniform(-2, 0))
    starts = rng.standard_normal((n_states, 6))

    def cost(gains: list[float]) -> float:
        k = np.array(gains).reshape(n_inputs, n_states)
        closed = a + b @ k
        x, total = starts, 0.0
        for _ in range(40):
            u = k @ x
            total += float(weights @ (x * x).sum(1)) + effort * float((u * u).sum())
            x = closed @ x
            if total > 1e30:
                break
        return math.log10(total / starts.shape[1])

    return _member(key, index, cost, n_states * n_inputs, 2.0, 1e-3)


def _cart_pole(key: str, swing: bool, index: int) -> Member:
    """A cart with a pole. To balance: four gains. To swing up: twelve, on features of the angle; a bounded force."""
    rng = generator(key, index)
    gravity, length = 9.8, float(rng.uniform(0.3, 1.0))
    pole, cart = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.5, 2.0))
    limit, friction, step = float(rng.uniform(10, 20)), float(rng.uniform(0, 0.3)), 0.04
    angles = [math.pi, math.pi - 0.2] if swing else [0.05, -0.1, 0.15]
    n_steps = 100 if swing else 120

    def force(gains: list[float], x: float, v: float, sin: float, cos: float, w: float) -> float:
        if not swing:
            return 10 * (gains[0] * x + gains[1] * v + 5 * gains[2] * sin + 2 * gains[3] * w)
        up = cos > 0.8  # one set of gains near the top, one elsewhere
        k = gains[6:] if up else gains[:6]
        features = (x, v, sin, w, w * cos, sin * cos)
        return 10 * sum(g * f for g, f in zip(k, features, strict=True))

    def cost(gains: list[float]) -> float:
        total = 0.0
        for angle in angles:
            x = v = w = 0.0
            t = angle
            for _ in range(n_steps):
                sin, cos = math.sin(t), math.cos(t)
                u = max(-limit, min(limit, force(gains, x, v, sin, cos, w))) - friction * v
                mass = cart + pole
                push = (u + pole * length * w * w * sin) / mass
                turn = (gravity * sin - cos * push) / (length * (4 / 3 - pole * cos * cos / mass))
                slide = push - pole * length * turn * cos / mass
                v += step * slide
                x += step * v
                w += step * turn
                t += step * w
                total += (1 - math.cos(t)) + 0.1 * min(x * x, 25.0) + 1e-4 * u * u
                if abs(x) > 5.0:  # off the track
                    total += 3.0 * n_steps
                    break
        return total / (n_steps * len(angles))

    return _member(key, index, cost, 12 if swing else 4, 3.0, 1e-3)


def _pendulum(key: str, index: int) -> Member:
    """A weak motor swings a pendulum up: eight gains on features of its state, nearest of two centres."""
    rng = generator(key, index)
    length, limit, damping = float(rng.uniform(0.6, 1.4)), float(rng.uniform(2, 5)), float(rng.uniform(0, 0.2))
    step, n_steps, starts = 0.05, 120, (math.pi, 2.5, -1.5)

    def cost(gains: list[float]) -> float:
        total = 0.0
        for start in starts:
            t, w = start, 0.0
            for _ in range(n_steps):
                sin, cos = math.sin(t), math.cos(t)
                k = gains[4:] if cos > 0.7 else gains[:4]
                u = 4 * (k[0] * sin + k[1] * w + k[2] * w * cos + k[3])
                u = max(-limit, min(limit, u))
                w += step * (9.8 / length * sin + u - damping * w)
                w = max(-10.0, min(10.0, w))
                t += step * w
                total += (1 - math.cos(t)) + 0.02 * w * w + 1e-3 * u * u
        return total / (n_steps * len(starts))

    return _member(key, index, cost, 8, 3.0, 1e-3)


RECIPES = [
    Recipe("regulator12", FAMILY, 12, partial(_regulator, "regulator12", 4, 3)),
    Recipe("regulator24", FAMILY, 24, partial(_regulator, "regulator24", 6, 4)),
    Recipe("cart_pole4", FAMILY, 4, partial(_cart_pole, "cart_pole4", False)),
    Recipe("swing_up12", FAMILY, 12, partial(_cart_pole, "swing_up12", True)),
    Recipe("pendulum8", FAMILY, 8, partial(_pendulum, "pendulum8")),
]
