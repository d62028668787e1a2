"""The words and numbers of the page, as plain data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import gpbo
from gpbo.insight.findings import findings

if TYPE_CHECKING:
    from gpbo.optimizer import Optimizer
    from gpbo.trials import Trial

_EXACT = 2**53  # integers up to which JavaScript's numbers are exact


def content(opt: Optimizer, shares: dict[str, float] | None = None) -> dict[str, Any]:
    """Summary, findings, best and recommended point, and the table of trials; from the parameters' importance."""
    trials = sorted([*opt.history, *opt.pending], key=lambda trial: trial.id)
    told = any(trial.state == "complete" for trial in trials)
    return {
        "direction": opt.direction,
        "facts": _facts(opt, trials),
        "findings": [vars(finding) for finding in findings(opt, shares)],
        "points": _points(opt) if told else None,
        "table": _table(opt, trials),
        "footer": f"gpbo {gpbo.__version__}, seed {opt.seed}, written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _facts(opt: Optimizer, trials: list[Trial]) -> list[tuple[str, str, str]]:
    """Label, value and small print of the cards at the top."""
    counts = {state: sum(trial.state == state for trial in trials) for state in ("complete", "failed", "pending")}
    facts = []
    if counts["complete"]:
        best = opt.best()
        facts.append((f"best value, {opt.direction}d", number(best.value), f"trial {best.id}"))
    others = ", ".join(f"{count} {state}" for state, count in counts.items() if count and state != "complete")
    facts.append(("evaluations", str(counts["complete"]), others or "none failed or pending"))
    times = [time for trial in trials for time in (trial.asked_at, trial.told_at) if time is not None]
    if times:
        began = datetime.fromtimestamp(min(times), UTC)
        facts.append(
            ("from first ask to last result", duration(max(times) - min(times)), f"began {began:%Y-%m-%d %H:%M} UTC")
        )
    asked = [(ask.seconds, len(ask.ids)) for ask in opt.asks if ask.seconds is not None]
    if asked:
        total = sum(seconds for seconds, _ in asked)
        facts.append(("choosing points", duration(total), f"{len(asked)} asks, {sum(q for _, q in asked)} points"))
    return facts


def _points(opt: Optimizer) -> dict[str, Any]:
    """The best and the recommended point side by side, with what the model says of them."""
    best, recommended = opt.best(), opt.recommend()
    mean, sd = opt.predict([best.params, recommended.params])
    rows: list[list[str]] = [
        [name, number(best[name]), number(recommended[name]), repr(parameter)] for name, parameter in opt.space.items()
    ]
    expected = [f"{number(float(m))} ± {2 * float(s):.2g}" for m, s in zip(mean, sd, strict=True)]
    rows += [["value", number(best.value), number(recommended.value), ""]]
    rows += [["expected, ± 2 sd", *expected, "by the model, without noise"]]
    return {"header": ["", f"best (trial {best.id})", f"recommended (trial {recommended.id})", "range"], "rows": rows}


def _table(opt: Optimizer, trials: list[Trial]) -> dict[str, Any]:
    """Cells as JSON holds them; what JavaScript would round is a string."""
    rows = []
    for trial in trials:
        seconds = None
        if trial.asked_at is not None and trial.told_at is not None:
            seconds = round(trial.told_at - trial.asked_at, 3)
        row = [trial.id, trial.state, trial.value, *trial.params.values(), trial.noise, seconds, trial.reason]
        rows.append([_cell(cell) for cell in row])
    header = ["trial", "state", "value", *opt.space, "noise", "seconds", "reason"]
    used = [
        j for j in range(len(header)) if header[j] in ("trial", "state", "value") or any(_full(row[j]) for row in rows)
    ]
    return {"header": [header[j] for j in used], "rows": [[row[j] for j in used] for row in rows]}


def _full(cell: Any) -> bool:
    return cell is not None and cell != ""


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and abs(value) <= _EXACT:
        return value
    if isinstance(value, float) and abs(value) != float("inf"):
        return value
    return str(value)


def number(value: Any) -> str:
    """A value as people write it: six digits of a float."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"
