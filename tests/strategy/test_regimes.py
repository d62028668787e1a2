"""Shares of a batch: whole numbers that sum to what is wanted, and even out over a study."""

from __future__ import annotations

import numpy as np
import pytest

from gpbo.strategy.regimes import most_modelled, most_regions, plan, space_filling_start, still_spread

SIZES = (1, 2, 30, 100, 3999, 4000, 4001, 20_000, 20_001, 10**6)
BATCHES = (1, 2, 3, 7, 8, 9, 25, 63, 64, 65, 100, 500, 512, 1000, 4096, 10_000)
ASKED = (0, 1, 2, 3, 4, 5, 7, 19, 20, 99, 12_345, 10**9)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("regions", [0, 1, 2, 3, 4, 8])
def test_counts_are_never_negative_and_sum_to_what_is_wanted(n, regions):
    for q in BATCHES:
        for asked in ASKED:
            found = plan(n, q, asked, regions=regions)
            assert len(found.local) == regions
            assert min((*found.local, found.whole, found.paths)) >= 0
            assert sum(found.local) + found.whole + found.paths == q
            assert found.candidates >= 2


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("q", BATCHES)
def test_regions_share_evenly(n, q):
    for regions in (1, 2, 4, 8):
        local = plan(n, q, 3, regions=regions).local
        assert max(local) - min(local) <= 1


def shares(n, q, asks, regions):
    plans = [plan(n, q, q * turn, regions=regions) for turn in range(asks)]
    return np.sum([(sum(each.local), each.whole, each.paths) for each in plans], 0) / (q * asks)


@pytest.mark.parametrize("n", [30, 600, 4001, 10**5])  # where no model is at the limit of its picks
@pytest.mark.parametrize("regions", [0, 1, 4])
@pytest.mark.parametrize("row", [(1, 2, 5, 7), (8, 9, 31, 50, 63), (64, 65, 77, 128)], ids=str)
def test_shares_of_many_small_asks_are_those_of_few_large_ones(n, regions, row):
    for q in row:
        asks = 2000 // q
        np.testing.assert_allclose(
            shares(n, q, asks, regions), shares(n, row[-1], 1000, regions), atol=2 / (q * asks) + 2e-5
        )


@pytest.mark.parametrize("n", [30, 10**5])
def test_shares_do_not_depend_on_how_a_study_was_cut_into_asks(n):
    """After any number of points the parts differ from their shares by less than a point."""
    target, rng = shares(n, 50, 1000, 1), np.random.default_rng(0)
    asked, parts = 0, np.zeros(3)
    for _ in range(300):
        q = int(rng.integers(8, 64))
        found = plan(n, q, asked, regions=1)
        parts += sum(found.local), found.whole, found.paths
        asked += q
        assert (np.abs(parts - asked * target) <= 1.0 + 1e-6 * asked).all()


def test_without_regions_nothing_is_local():
    for n in SIZES:
        for q in BATCHES:
            assert plan(n, q, 5, regions=0).local == ()


@pytest.mark.parametrize("q", [1, 8, 64, 1000])
def test_very_large_studies_do_without_log_ei_on_the_whole_space(q):
    for n in (4001, 10**5):
        for regions in (0, 4):
            assert plan(n, q, 17, regions=regions).whole == 0


def test_no_model_chains_more_than_a_few_hundred_picks():
    for n in SIZES:
        found = plan(n, 100_000, 0, regions=8)
        assert max((*found.local, found.whole)) <= 512


@pytest.mark.parametrize("n", SIZES)
def test_the_model_holds_at_least_one_observation_and_at_most_all(n):
    assert 1 <= most_modelled(n) <= n
    previous = 0
    for limit in (64 * 10**6, 10**9, 10**11, 2**60):
        held = most_modelled(n, limit)
        assert previous <= held <= most_modelled(n)
        assert 8 * held**2 <= limit / 2
        previous = held
    assert most_modelled(n, 2**60) == most_modelled(n)
    assert most_modelled(n, None, 50_000) == (n if n <= 50_000 else most_modelled(n))


def test_regions_are_few():
    assert [most_regions(n, 1, determined=False) for n in (1, 4000)] == [0, 0]
    assert [most_regions(n, 1, determined=True) for n in (30, 4000)] == [1, 1]
    assert all(most_regions(n, q, determined=said) <= 8 for n in SIZES for q in BATCHES for said in (False, True))
    assert all(most_regions(n, 64, determined=False) >= 1 for n in SIZES)


@pytest.mark.parametrize(("n", "regions"), [(5000, 4), (30_000, 8)])
@pytest.mark.parametrize("q", [1, 2, 3, 8, 100])
def test_the_region_of_the_incumbent_gets_no_less_than_any_other(n, regions, q):
    counts = np.zeros(regions)
    for ask in range(200):
        counts += plan(n, q, ask * q, regions=regions).local
    assert counts[0] == counts.max() > 0


@pytest.mark.parametrize(
    ("n_params", "spread"),
    [(1, []), (2, []), (3, [6, 8]), (6, [8, 10, 12, 14, 16]), (10, [12, 14, 16, 18, 20, 22]), (23, []), (100, [])],
)
def test_every_second_point_is_space_filling_up_to_three_a_parameter(n_params, spread):
    start = space_filling_start(n_params)
    assert [asked for asked in range(400) if still_spread(asked, start, n_params)] == spread


def test_a_longer_start_leaves_less_to_spread():
    assert [asked for asked in range(40) if still_spread(asked, 15, 6)] == [16]
    assert [asked for asked in range(40) if still_spread(asked, 18, 6)] == []
