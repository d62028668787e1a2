"""The stages of a run, each in processes of its own whose lines are passed on as they come; none outlasts its time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import record
from benchmarks.gpu.cases import Case, Matrix, contained, limit, ordered
from benchmarks.processes import Lines
from benchmarks.record import Line

_GRACE = 10.0  # seconds that a process may take beyond its time to say so itself
_PATIENCE = 30.0  # seconds for what surrounds the calls of a case and is not timed
_ENDING = 5.0  # seconds for a process whose output has ended to end itself
_START = 180.0  # seconds for imports, and for what is compiled on a new installation
_SHORTEST = 2.0  # seconds that must be left for a case to be begun
_FAILURES = 5  # processes that may end by themselves before the rest is given up
_NO_TESTS, _WRONG = 5, 1  # exit statuses of pytest
NOT_RIGHT = "the engine did not pass its check"
KERNEL_TESTS = "tests of the kernels"
KERNELS = Path(__file__).parent.parent / "kernels"


def streamed(command: list[str], until: float, trouble: Line) -> Iterator[Line]:
    """The JSON lines that a module prints; one more, of ``trouble``, if it had to be ended or did not end well.

    Args:
        command: Arguments of Python.
        until: Time, in seconds since 1970, at which it is ended.
        trouble: What such a line says of itself.
    """
    with Lines([sys.executable, *command]) as process:
        while True:
            try:
                text = process.next(until - time.time())
            except TimeoutError:
                yield trouble | {"outcome": "deadline", "message": "ended, for its time was over"}
                return
            if text is None:
                break
            if text.startswith("{"):
                yield json.loads(text)
        message = process.end(_GRACE)
        if process.status:
            yield trouble | {"outcome": "failed", "message": message}


def check(accelerator: str, small: bool, until: float) -> Iterator[Line]:
    """The engine against its references; a check that does not hold, or does not end, has a line that says so."""
    command = ["-m", "benchmarks.gpu.check", "--device", accelerator, *(["--small"] if small else [])]
    held = True
    for line in streamed(command, until, {"stage": "check", "check": "all"}):
        if line["check"] == "all" and not held:
            return  # the exit status says what the lines said
        held = held and line["outcome"] == "held"
        yield line


def kernel_tests(accelerator: str, until: float) -> Iterator[Line]:
    """The kernels' own tests on the GPU; time that is too short for them is not held against the kernels."""
    line: Line = {"stage": "check", "check": KERNEL_TESTS}
    if accelerator == "cpu":
        yield line | {"outcome": "not there", "message": "they are for a GPU"}
        return
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/kernels", "-m", "gpu and not slow"]
    command += ["--require-gpu", "-W", "default", "-p", "no:cacheprovider"]
    try:
        ended = subprocess.run(
            command, cwd=record.ROOT, capture_output=True, text=True, timeout=max(1.0, until - time.time()), check=False
        )
    except subprocess.TimeoutExpired:
        yield line | {"outcome": "deadline", "message": "ended, for its time was over"}
        return
    said = (ended.stdout + ended.stderr)[-1500:]
    if ended.returncode in (0, _WRONG):
        yield line | {"outcome": "failed" if ended.returncode else "held", "message": said}
    elif ended.returncode == _NO_TESTS:
        yield line | {"outcome": "not there", "message": "there are none for a GPU"}
    else:
        yield line | {"outcome": "not run", "message": said}


def floors(device: str, sizes: str, until: float) -> Iterator[Line]:
    """What a device can do."""
    command = ["-m", "benchmarks.gpu.floors", "--device", device, "--sizes", sizes, "--until", str(until)]
    return streamed(command, until + _GRACE, {"stage": "floor", "floor": "all", "device": device})


def kernels(seconds: float, until: float) -> Iterator[Line]:
    """The benchmarks of single kernels, of those that can be limited in time (``--seconds``)."""
    paths = sorted(KERNELS.glob("bench_*.py"))
    for index, path in enumerate(paths):
        line: Line = {"stage": "kernel", "module": path.stem}
        if "--seconds" not in path.read_text():
            yield line | {"outcome": "not run", "message": "it takes no --seconds"}
            continue
        now = time.time()
        mine = min(seconds, (until - now) / (len(paths) - index))
        if mine < _SHORTEST:
            yield line | {"outcome": "deadline"}
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / f"{path.stem}.jsonl"
            command = ["-m", f"benchmarks.kernels.{path.stem}", "--seconds", f"{mine:.1f}", "--out", str(out)]
            ending = min(now + 2.0 * mine + _PATIENCE, until + _GRACE)  # imports and compilation take theirs
            yield from (line | {"outcome": "done"} | found for found in streamed(command, ending, line))
            for file in sorted(Path(folder).rglob("*.jsonl")):
                if file.is_file():
                    yield from (line | {"outcome": "done"} | json.loads(text) for text in file.read_text().splitlines())


def thresholds(accelerator: str, sizes: tuple[int, ...], until: float) -> Iterator[Line]:
    """From how many observations on the device is faster than the host."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "thresholds.jsonl"
        command = ["-m", "benchmarks.speed.thresholds", "--device", accelerator, "--until", str(until - _GRACE)]
        command += ["--out", str(out), *(["--sizes", *map(str, sizes)] if sizes else [])]
        trouble = list(streamed(command, until, {"stage": "threshold"}))
        for line in record.read(Path(folder)):
            yield {"stage": "threshold", "outcome": "done"} | line
        yield from trouble


@dataclass
class Cases:
    """Measures cases one after the other, in a process that is started anew after one that it did not survive.

    Attributes:
        accelerator: What "gpu" stands for.
        until: Time, in seconds since 1970, at which the last case ends.
        right: Whether the engine passed its check; if not, only stock BoTorch is measured.
        budget: Seconds of a measurement after which it is not repeated.
        ours: Seconds that gpbo took on the GPU, by task, n and d, with nothing carried.
        cut: Cases that took too long, or had no memory.
        bounds: Seconds that those took at least.
    """

    accelerator: str
    until: float
    right: bool = True
    budget: float = 1.5
    ours: dict[tuple[str, int, int], float] = field(default_factory=dict)
    cut: list[Case] = field(default_factory=list)
    bounds: dict[str, float] = field(default_factory=dict)
    _process: Lines | None = None
    _failures: int = 0

    def measure(self, matrix: Matrix, known: list[Line]) -> Iterator[Line]:
        """The lines of all cases, in order; ``known`` are lines of cases that are not measured again."""
        cases = ordered(matrix)
        names = {line["case"] for line in known}
        by_name = {case.name: case for case in cases}
        for before in known:
            if before["case"] in by_name:
                self._note(by_name[before["case"]], before)
        try:
            for case in cases:
                if case.name in names:
                    continue
                line: Line = {"stage": "case", "case": case.name, "task": case.task, "provider": case.provider}
                line |= {"device": case.device, "sizes": {"n": case.n, "d": case.d, "q": case.q}}
                line |= {"metric": "wall time", "unit": "s", "dtype": "float64"}
                for found in self._case(case):
                    self._note(case, found)
                    yield line | found
        finally:
            self._end()

    def _note(self, case: Case, line: Line) -> None:
        if line["outcome"] in ("more than", "out of memory"):
            self.cut.append(case)
            self.bounds[case.name] = line.get("seconds", 0.0)
        elif line["outcome"] == "done" and (case.provider, case.device) == ("gpbo", "gpu"):
            self.ours.setdefault((case.what, case.n, case.d), line["seconds"])

    def _case(self, case: Case) -> Iterator[Line]:
        if case.provider == "gpbo" and not self.right:
            yield {"outcome": "not run", "message": NOT_RIGHT}
            return
        other = contained(case, self.cut)
        if other is not None:
            bound = self.bounds[other.name]
            reason = f"took more than {bound:g} s" if bound else "had no memory"
            found: Line = {"outcome": "not run", "message": f"{other.name} {reason} already"}
            yield found | ({"seconds": bound} if bound else {})
            return
        if self._failures >= _FAILURES:
            yield {"outcome": "not run", "message": f"{_FAILURES} processes had ended before"}
            return
        if self.until - time.time() < _SHORTEST:
            yield {"outcome": "deadline"}
            return
        allowed = limit(case, self.ours.get((case.what, case.n, case.d)))
        try:
            process = self._ready()
            left = self.until - time.time()
            if left < _SHORTEST:
                yield {"outcome": "deadline"}
                return
            brief = min(allowed, left)
            process.send(json.dumps({"case": asdict(case), "limit": brief, "budget": self.budget}))
            said = False
            while True:
                text = process.next(min(2.0 * brief + _PATIENCE, self.until + _GRACE - time.time()))
                if text is None:
                    if said:  # it gave up by itself, and its line says why
                        self._failures += 1
                        self._end()
                        return
                    raise EOFError
                line = json.loads(text)
                if "end" in line:
                    return
                if line["outcome"] == "more than" and brief < allowed:
                    line |= {"outcome": "deadline", "message": f"cut after {brief:.1f} s"}
                said = line["outcome"] == "failed"
                yield line | {"limit": brief}
        except TimeoutError:
            self._end()
            if time.time() > self.until:
                yield {"outcome": "deadline", "message": "ended, for the time was over"}
            else:
                yield {"outcome": "more than", "seconds": allowed, "limit": allowed, "message": "the process was ended"}
        except EOFError:
            self._failures += 1
            yield {"outcome": "failed", "message": self._end(_ENDING)}

    def _ready(self) -> Lines:
        """The process, waiting for a case."""
        if self._process is None:
            command = [sys.executable, "-m", "benchmarks.gpu.measure", "--accelerator", self.accelerator]
            self._process = Lines(command)
            try:
                begun = self._process.next(min(_START, self.until - time.time())) is not None
            except TimeoutError:
                if time.time() >= self.until:
                    raise
                begun = False
            if not begun:
                raise EOFError
        return self._process

    def _end(self, seconds: float = 0.0) -> str:
        process, self._process = self._process, None
        return "" if process is None else process.end(seconds)
