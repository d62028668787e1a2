"""One line that tells how a run of ``minimize`` is going."""

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from gpbo.errors import NotReadyError
from gpbo.optimizer import Optimizer

Show: TypeAlias = bool | Literal["always"]


class Progress:
    """A progress bar on standard error; silent unless wanted, and where nobody watches.

    Args:
        total: Number of evaluations planned.
        show: False: nothing. True: a bar if standard error is a terminal. "always": a bar.
    """

    def __init__(self, total: int, show: Show) -> None:
        self._bar, self._total = None, total
        if show:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="eval", disable=False if show == "always" else None)

    def update(self, optimizer: Optimizer, done: int, running: int, objective: float, suggest: float) -> None:
        """Show evaluations done, best value, evaluations running, seconds in objective and suggestions, and the end.

        The end is estimated from the time that the evaluations so far took.
        """
        if self._bar is None or self._bar.disable:
            return
        try:
            best = f"{optimizer.best().value:.6g}"
        except NotReadyError:
            best = "none"
        fields = f"best {best}, running {running}, objective {objective:.1f} s, suggestions {suggest:.1f} s"
        if 0 < done < self._total:
            left = self._bar.format_dict["elapsed"] / done * (self._total - done)
            end = datetime.now() + timedelta(seconds=left)
            fields += f", ends about {end:%H:%M}" if left < 64800 else f", ends about {end:%a %d %b %H:%M}"
        self._bar.set_postfix_str(fields, refresh=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Finish the line."""
        if self._bar is not None:
            self._bar.close()
