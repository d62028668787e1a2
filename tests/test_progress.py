"""The line says how far a run is and when it ends."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import gpbo
from gpbo.progress import Progress


def test_the_end_is_estimated_from_what_was_done(capsys):
    opt = gpbo.Optimizer({"x": gpbo.Float(0, 1)}, seed=0)
    opt.add([[0.5]], [1.25])
    progress = Progress(100, "always")
    progress._bar.start_t -= 3600  # an hour ago
    progress.update(opt, 25, running=4, objective=3000.0, suggest=1.5)
    assert "best 1.25, running 4, objective 3000.0 s, suggestions 1.5 s, ends about" in progress._bar.postfix
    shown = re.search(r"ends about (\d\d:\d\d)", progress._bar.postfix)[1]
    expected = [datetime.now() + timedelta(hours=3, seconds=seconds) for seconds in (-60, 0, 60)]
    assert shown in [f"{end:%H:%M}" for end in expected]
    progress._bar.start_t -= 36000
    progress.update(opt, 26, running=4, objective=3000.0, suggest=1.5)
    assert re.search(r"ends about \w{3} \d\d \w{3} \d\d:\d\d", progress._bar.postfix)
    progress.update(opt, 100, running=0, objective=3000.0, suggest=1.5)
    assert "ends" not in progress._bar.postfix
    progress.close()
    assert "100/100" in capsys.readouterr().err
