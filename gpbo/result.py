"""What ``minimize`` gives back."""

from __future__ import annotations

from scipy.optimize import OptimizeResult

from gpbo.markup import table


class Result(OptimizeResult):  # type: ignore[misc]
    """SciPy's result, a dict with attributes, which shows itself in notebooks."""

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [("value", self.fun), *(self.params or {}).items()]
        rows += [("evaluations", self.nfev), ("seconds in the objective", self.seconds_objective)]
        rows += [("seconds in suggestions", self.seconds_suggest), ("message", self.message)]
        return table("Best found" if self.success else "Not successful", ["", ""], rows)
