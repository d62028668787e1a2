"""Points prepared while evaluations run, and handed to a worker the moment it is free.

Nothing is prepared as long as a suggestion takes little time beside an evaluation: it is then made in view of the
outcome that freed the worker.
"""

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable

from gpbo.trials import Trial

_WORTHWHILE = 0.1  # seconds an evaluation must take
_KEEPS_UP = 0.7  # share of an evaluation's time in which points for all workers must be made
_EXPECTED = 4e-3  # seconds a point takes in a large batch, until it has been measured
_TELLING = 8  # points from which an ask says what a point costs
_NEGLIGIBLE = 0.03  # share of an evaluation's time for which a worker may wait for a suggestion


class Pace:
    """Whether suggestions keep up with evaluations, or have to be hurried.

    Args:
        workers: Most evaluations at a time.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._cost = _EXPECTED  # seconds a point takes when it is not hurried
        self._hurried = False

    def hurry(self, evaluation: float) -> bool:
        """Whether the next suggestions should cost as little as they can.

        Not where evaluations take next to nothing: then suggestions are what the time is for.

        Args:
            evaluation: Seconds that one evaluation takes; 0 if unknown.
        """
        self._hurried = evaluation >= _WORTHWHILE and self._cost * self._workers > _KEEPS_UP * evaluation
        return self._hurried

    @property
    def stock(self) -> float:
        """How much larger than otherwise the stock should be: hurried asks cost little more for many points."""
        return 4.0 if self._hurried else 1.0

    def note(self, points: int, seconds: float) -> None:
        """What suggesting so many points took, without hurry."""
        if points >= _TELLING:  # few points say little: what they cost is the fit
            self._cost = seconds / points


class Supply:
    """A stock of points, and the workers that are free.

    Args:
        workers: Most evaluations at a time.
        submit: Hands one point to a worker; False if none takes it.

    A thread hands out the stock while the caller is busy; everything else happens in the caller's threads.
    """

    def __init__(self, workers: int, submit: Callable[[Trial], bool]) -> None:
        self._workers, self._free, self._submit = workers, workers, submit
        self._stock: deque[Trial] = deque()
        self._gate = threading.Lock()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def wanted(self, evaluation: float, suggestion: float) -> int:
        """How many points to suggest now.

        Args:
            evaluation: Seconds that one evaluation takes; 0 if unknown.
            suggestion: Seconds that suggesting takes.
        """
        ahead = 0
        if evaluation >= _WORTHWHILE and suggestion > _NEGLIGIBLE * evaluation:
            ahead = min(self._workers, math.ceil(self._workers * suggestion / evaluation))
        with self._gate:
            missing = self._free - len(self._stock)
            return missing + ahead if missing > -ahead / 2 else 0

    @property
    def idle(self) -> int:
        """Workers that wait."""
        with self._gate:
            return self._free

    def put(self, trials: Iterable[Trial], first: bool = False) -> None:
        """Add to the stock, and hand out what can be evaluated now; the first of it those that were lost."""
        with self._gate:
            for trial in trials:
                (self._stock.appendleft if first else self._stock.append)(trial)
        self.feed()
        if self._stock and self._thread is None:
            self._thread = threading.Thread(target=self._feed_when_called, name="gpbo-supply", daemon=True)
            self._thread.start()

    def freed(self) -> None:
        """Count a worker as free. Called from threads of the executor."""
        with self._gate:
            self._free += 1
        self._calls.put(True)

    def feed(self) -> None:
        """Hand out points as long as there are points and free workers."""
        while True:
            with self._gate:
                if self._closed or not self._free or not self._stock:
                    return
                self._free -= 1
                trial = self._stock.popleft()
            if not self._submit(trial):
                return

    def close(self) -> None:
        """Hand out nothing more."""
        with self._gate:
            self._closed = True
        self._calls.put(False)

    def _feed_when_called(self) -> None:
        while self._calls.get():
            self.feed()
