"""The page in a real browser without a network: no error, every picture drawn, the table sorts and filters."""

from __future__ import annotations

import pytest

pytest.importorskip("plotly")
pytestmark = [pytest.mark.integration, pytest.mark.slow]

_DRAWN = """
return [...document.querySelectorAll('.plot')].map(plot => [plot.id, plot.querySelectorAll('.main-svg').length > 0
  && plot.querySelectorAll('path.point, path.js-line, .bars path, .heatmaplayer image, .contourlayer path').length])
"""


def column(page, number):
    script = "return [...document.querySelectorAll('#trials tbody tr')].map(row => row.cells[arguments[0]].textContent)"
    return page.execute_script(script, number)


def click(page, name):
    script = """[...document.querySelectorAll('#trials th button')]
        .find(button => button.textContent === arguments[0]).click()"""
    page.execute_script(script, name)


def write(page, selector, text):
    script = """const input = document.querySelector(arguments[0]); input.value = arguments[1];
        input.dispatchEvent(new Event(input.tagName === 'SELECT' ? 'change' : 'input'))"""
    page.execute_script(script, selector, text)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_every_picture_is_drawn_without_an_error(browser, picture_of, study, tmp_path, width, dark):
    page = browser(study.report(tmp_path / "r.html"), width=width, dark=dark)
    drawn = dict(page.execute_script(_DRAWN))
    assert len(drawn) == 9
    assert all(drawn.values()), drawn
    assert page.get_log("browser") == []
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    widths = page.execute_script("return [...document.querySelectorAll('.plot svg')].map(s => s.clientWidth)")
    assert max(widths) <= width
    ink, paper = page.execute_script("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
    brightness = [sum(map(float, colour[4:-1].split(","))) for colour in (ink, paper)]
    assert (brightness[0] > brightness[1]) is dark
    assert abs(brightness[0] - brightness[1]) > 400
    picture_of(page, f"{width}-{'dark' if dark else 'light'}")


def test_the_table_sorts_and_filters(browser, study, tmp_path):
    page = browser(study.report(tmp_path / "r.html"))
    assert column(page, 0) == [str(i) for i in range(22)]
    click(page, "value")
    values = column(page, 2)
    assert [float(value) for value in values[:19]] == sorted(float(value) for value in values[:19])
    assert values[19:] == ["", "", ""]
    click(page, "value")
    assert float(column(page, 2)[0]) == pytest.approx(study.best().value, rel=1e-5)
    assert page.execute_script("return document.querySelector('#trials th[aria-sort]').textContent") == "value"
    click(page, "rate")
    rates = [float(rate) for rate in column(page, 3)]
    assert rates == sorted(rates)
    click(page, "depth")
    assert [int(depth) for depth in column(page, 4)] == sorted(int(depth) for depth in column(page, 4))

    write(page, "#filter", "gelu depth<=10")
    kept = [t for t in [*study.history, *study.pending] if t["kind"] == "gelu" and t["depth"] <= 10]
    assert sorted(map(int, column(page, 0))) == sorted(t.id for t in kept)
    write(page, "#filter", "memoryerror")
    assert column(page, 0) == ["7"]
    write(page, "#filter", "")
    write(page, "#state", "pending")
    assert sorted(map(int, column(page, 0))) == study.pending.ids
    assert page.execute_script("return document.getElementById('count').textContent") == "2 of 22 trials"
    assert page.get_log("browser") == []


def test_pictures_with_a_choice_change(browser, study, tmp_path):
    page = browser(study.report(tmp_path / "r.html"))
    titles = []
    for index in (0, 1, 2):
        script = """const select = document.querySelector('#slice').parentElement.querySelector('select');
            select.selectedIndex = arguments[0]; select.dispatchEvent(new Event('change'));
            return document.querySelector('#slice .xtitle').textContent"""
        titles.append(page.execute_script(script, index))
    assert sorted(titles) == ["depth", "kind", "rate"]
    assert page.get_log("browser") == []


def test_a_hostile_study_breaks_nothing(browser, picture_of, hostile, tmp_path):
    page = browser(hostile.report(tmp_path / "r.html", title="<script>window.broken=1</script>"), width=390)
    assert page.execute_script("return window.broken === undefined")
    assert page.title == "<script>window.broken=1</script>"
    assert page.get_log("browser") == []
    assert page.execute_script("return document.querySelectorAll('a, img, main b b, iframe').length") == 0
    assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    name = next(iter(hostile.space))
    headers = page.execute_script("return [...document.querySelectorAll('#trials th')].map(cell => cell.textContent)")
    assert name in headers
    picture_of(page, "hostile")


def test_many_trials_are_shown_in_pages(browser, tmp_path):
    import gpbo

    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.add([{"x": i / 700} for i in range(700)], [(i - 350.0) ** 2 for i in range(700)])
    page = browser(opt.report(tmp_path / "r.html"))
    assert len(column(page, 0)) == 200
    page.execute_script("document.getElementById('more').click()")
    assert len(column(page, 0)) == 700
    assert page.execute_script("return document.getElementById('more').hidden")
