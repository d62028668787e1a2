"""Where an ask is computed, and what is done where that place is missing or fails.

``device="auto"`` takes a GPU from a size on at which it is faster than the compiled host path. The table below is the
one place that says from which; ``python -m benchmarks.speed.thresholds`` measures it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from gpbo.errors import ArgumentError, DeviceError
from gpbo.numerics import memory
from gpbo.numerics.graphs import GRAPHS

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Switch:
    """From how many observations on a GPU is taken.

    Attributes:
        points: Smallest batch that this line is about.
        observations: Smallest number of observations.
        measured: What it rests on: the file with the measurements, or "assumed".
    """

    points: int
    observations: int
    measured: str


SWITCHES = (
    Switch(points=1, observations=2000, measured="assumed"),
    Switch(points=512, observations=500, measured="assumed"),
)

# How the runtime, its libraries and Triton say that a card is gone or will answer nothing any more.
_LOST = (
    "cuda error",
    "cuda-capable device",
    "cusolver error",
    "unspecified launch failure",
    "triton error [cuda]",
    "nvidia driver",
    "in forked subprocess",
)


class Place:
    """The device of a study: the one that was named, or the faster one for each ask."""

    def __init__(self, name: str) -> None:
        """Nothing is initialised on a GPU before it is used.

        Args:
            name: "auto", "cpu", "cuda" or "cuda:i".

        Raises:
            ArgumentError: If the device is unknown or not there.
        """
        self._name = name
        self._gpu = _parsed(name)
        self._tried = False
        self._notice = ""

    @property
    def user(self) -> torch.device:
        """Where the user's tensors live: the device that was named, the CPU for "auto"."""
        return CPU if self._gpu is None or self._name == "auto" else self._gpu

    def choose(self, n: int, q: int = 1) -> torch.device:
        """Where to compute with n observations for q points.

        Raises:
            DeviceError: If a GPU was named and this process was forked after CUDA had been initialised.
        """
        if self._gpu is None or (self._name == "auto" and not _large(n, q)):
            return CPU
        if torch.cuda._is_in_bad_fork():
            reason = "this process was forked after CUDA had been initialised, and CUDA does not work in it"
            if self._name != "auto":
                raise DeviceError(
                    f"device={self._name!r}: {reason}. Start such processes with the method 'spawn' or 'forkserver', "
                    "or use device='cpu' in them."
                )
            self._give_up(reason)
        elif not self._tried:
            self._try(self._gpu)
        return self._gpu or CPU

    def _try(self, gpu: torch.device) -> None:
        """One small computation, before a study relies on the card."""
        self._tried = True
        try:
            works = torch.ones(1, device=gpu).add_(1.0).item() == 2.0
        except Exception as error:  # also where another process has taken all of its memory
            works, reason = False, _brief(error)
        else:
            reason = "it computes wrongly"
        if not works:
            self._give_up(f"{gpu} does not work ({reason})")

    def lost(self, error: BaseException) -> bool:
        """Whether an error says that the GPU is lost; if so, the study goes on on the CPU."""
        if self._gpu is None or not isinstance(error, RuntimeError) or memory.refused(error):
            return False
        if not any(words in str(error).lower() for words in _LOST):
            return False
        self._give_up(f"{self._gpu} failed ({_brief(error)})")
        return True

    def _give_up(self, reason: str) -> None:
        self._gpu = None
        self._notice = f"{reason}; computed on the CPU from now on"
        GRAPHS.clear()
        logger.warning("device=%r: %s", self._name, self._notice)

    def notice(self) -> str:
        """What the report of the next ask has to say about the device; once."""
        notice, self._notice = self._notice, ""
        return notice


def _large(n: int, q: int) -> bool:
    return any(q >= switch.points and n >= switch.observations for switch in SWITCHES)


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _parsed(name: str) -> torch.device | None:
    """The GPU to use, or None for the CPU."""
    if name == "auto":
        return torch.device("cuda") if _count() else None
    try:
        parsed = torch.device(name)
    except (RuntimeError, TypeError):
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda"):
        raise ArgumentError(f"device={name!r} is unknown; use 'auto', 'cpu', 'cuda' or 'cuda:0', 'cuda:1', ...")
    if parsed.type == "cpu":
        return None
    count = _count()
    if (parsed.index or 0) >= count:
        there = ", ".join(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(count))
        why = there or ("no driver or no card" if torch.version.cuda else "this build of torch is for the CPU only")
        raise ArgumentError(
            f"device={name!r} was asked for, but torch sees {count} CUDA devices: {why}; use device='auto' or 'cpu'."
        )
    return parsed


def _count() -> int:
    """GPUs that torch sees; none where the driver is broken, which is said once."""
    try:
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    except Exception as error:
        logger.warning("CUDA cannot be used (%s); gpbo computes on the CPU", _brief(error))
        return 0
