"""Objects show themselves in notebooks, and nothing in them is taken for markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

import gpbo

NASTY = "<script>alert('x')</script> & \"y\""


class Reader(HTMLParser):
    """Collects cells, and checks that every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells, self.tags = [], [], set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells[-1] += data


@pytest.fixture
def opt():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1), NASTY: gpbo.Categorical([NASTY, "b"])}, seed=0)
    opt.tell(opt.ask(3), [3.0, 1.0, 2.0])
    return opt


def test_everything_that_users_hold_shows_itself(opt):
    batch = opt.ask(2)
    res = gpbo.minimize(lambda p: p["x"] ** 2, {"x": gpbo.Float(0, 1)}, n=3, seed=0)
    for shown in (opt.space, opt, batch, opt.history, opt.pending, res):
        read = Reader(shown._repr_html_())
        assert "script" not in read.tags
        assert len(read.cells) > 4


def test_names_and_values_arrive_as_they_are(opt):
    cells = Reader(opt._repr_html_()).cells
    assert NASTY in cells
    assert f"{opt.best()['x']:.6g}" in cells
    assert "minimizing over 2 parameters: 3 complete" in cells[0]
    assert NASTY in Reader(opt.history._repr_html_()).cells


def test_an_optimizer_shows_itself_before_anything_happened():
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    assert "Float(0.0, 1.0)" in Reader(opt._repr_html_()).cells
    assert Reader(opt.history._repr_html_()).cells[0] == "0 trials"


def test_long_tables_and_long_values_are_cut(opt):
    opt.add([{"x": i / 100, NASTY: "b"} for i in range(100)], range(100))
    cells = Reader(opt.history._repr_html_()).cells
    assert len(cells) < 200
    assert any("83 more" in cell for cell in cells)
    space = gpbo.Space({"c": gpbo.Categorical(["x" * 500, "y"])})
    assert max(map(len, Reader(space._repr_html_()).cells)) <= 81


def test_a_run_without_a_value_says_so():
    res = gpbo.minimize(lambda p: float("nan"), {"x": gpbo.Float(0, 1)}, n=2, seed=0)
    assert Reader(res._repr_html_()).cells[0] == "Not successful"


def test_a_result_is_still_that_of_scipy():
    from scipy.optimize import OptimizeResult

    res = gpbo.minimize(lambda x: x[0] ** 2, [(0, 1)], n=3, seed=0)
    assert isinstance(res, OptimizeResult)
    assert set(res) >= {"x", "fun", "nfev", "success", "message"}
