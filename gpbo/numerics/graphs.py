"""Iterations in blocks that the host does not interrupt: captured CUDA graphs on a GPU, eager elsewhere.

A step is a function that reads and writes named tensors in place and nothing else. On a GPU the launches of its hundred
small operations cost more than their arithmetic; a graph of several steps is launched once. The first block of a kind
runs eagerly, which also warms up the libraries; from the second time on there is a graph. Whether to go on is decided on
the device, in the tensor ``done``, and read once a block.

A step may contain what a graph cannot hold (an operation that waits for the device or allocates outside PyTorch). Then
capturing fails, its kind is remembered, and it runs eagerly from then on; the result is the same.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gpbo.numerics import memory

logger = logging.getLogger(__name__)

Tensors: TypeAlias = dict[str, Tensor]
Step: TypeAlias = Callable[[Tensors], None]
Capture: TypeAlias = Callable[[Step, Tensors, int], Callable[[], None]]

_MOST_GRAPHS = 64
_MOST_BYTES = 2**28  # of the tensors of one graph: larger ones are busy for longer than their launches take
_ALL_BYTES = 2**30  # of those of all graphs


def capture(step: Step, tensors: Tensors, count: int) -> Callable[[], None]:
    """A CUDA graph of so many steps on these tensors; what replays it.

    Raises:
        RuntimeError: If the step holds an operation that cannot be captured.
    """
    graph = torch.cuda.CUDAGraph()
    device = tensors["done"].device
    with torch.cuda.device(device):
        stream = torch.cuda.Stream(device)
        # Other threads of the user's program may allocate meanwhile: their work is none of this capture's business.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            for _ in range(count):
                step(tensors)
    return graph.replay


class _Captured:
    """A graph and the tensors it reads and writes."""

    def __init__(self, make: Capture, step: Step, tensors: Tensors, count: int) -> None:
        self.tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        self.replay = make(step, self.tensors, count)
        self.bytes = _bytes(tensors)


class Graphs:
    """Captured graphs by kind and shapes: a bounded number, the ones used last."""

    def __init__(self, make: Capture = capture, applies: Callable[[torch.device], bool] | None = None) -> None:
        """No graphs yet.

        Args:
            make: Captures a graph.
            applies: Where there are graphs; on CUDA devices by default.
        """
        self._make = make
        self._applies = applies or (lambda device: device.type == "cuda")
        self._kept: OrderedDict[Hashable, _Captured] = OrderedDict()
        self._seen: set[Hashable] = set()
        self._refused: set[Hashable] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Drops all graphs and their memory."""
        with self._lock:
            self._kept.clear()

    def iterate(self, step: Step, tensors: Tensors, *, rounds: int, every: int, kind: Hashable = None) -> None:
        """Runs a step until it is done everywhere.

        Args:
            step: Reads and writes the tensors in place, without a look at their values from the host; sets ``done``.
                What else it depends on must be part of ``kind``.
            tensors: By name; ``done`` is a tensor of flags. All of them must be on one device.
            rounds: Most steps; whole blocks, where there is a graph, so that ``done`` must be set by the step itself
                where there must not be more.
            every: Steps in a block, after which ``done`` is read.
            kind: What the step is; None if it is never to be captured.
        """
        device = tensors["done"].device
        key = (kind, device, every, *((name, each.shape, each.dtype) for name, each in sorted(tensors.items())))
        captured = None
        if kind is not None and self._applies(device) and _bytes(tensors) <= _MOST_BYTES:
            captured = self._acquire(kind, key, step, tensors, every)
        if captured is None:
            _eagerly(step, tensors, rounds, every)
            return
        try:
            for name, tensor in tensors.items():
                captured.tensors[name].copy_(tensor)
            for start in range(0, rounds, every):
                captured.replay()
                if start + every < rounds and bool(captured.tensors["done"].all()):
                    break
            for name, tensor in tensors.items():
                tensor.copy_(captured.tensors[name])
        finally:
            self._lock.release()

    def _acquire(self, kind: Hashable, key: Hashable, step: Step, tensors: Tensors, every: int) -> _Captured | None:
        """The graph, with the lock held; None, without it, where the step is to run eagerly."""
        if not self._lock.acquire(blocking=False):  # another thread is in one, and their tensors are shared
            return None
        captured = self._kept.get(key)
        if captured is not None:
            self._kept.move_to_end(key)
            return captured
        if kind not in self._refused and key in self._seen:
            captured = self._captured(kind, step, tensors, every)
        self._seen.add(key)
        if captured is None:
            self._lock.release()
            return None
        self._kept[key] = captured
        while len(self._kept) > _MOST_GRAPHS or sum(each.bytes for each in self._kept.values()) > _ALL_BYTES:
            self._kept.popitem(last=False)
        return captured

    def _captured(self, kind: Hashable, step: Step, tensors: Tensors, every: int) -> _Captured | None:
        try:
            return _Captured(self._make, step, tensors, every)
        except Exception as error:
            if memory.refused(error):
                self._kept.clear()
            elif isinstance(error, RuntimeError):
                self._refused.add(kind)
                logger.info("%s runs without a CUDA graph: %s", kind, error)
            else:
                self._lock.release()
                raise
        return None


def _eagerly(step: Step, tensors: Tensors, rounds: int, every: int) -> None:
    for start in range(0, rounds, every):
        for _ in range(min(every, rounds - start)):
            step(tensors)
        if start + every < rounds and bool(tensors["done"].all()):
            return


def _bytes(tensors: Tensors) -> int:
    return sum(each.numel() * each.element_size() for each in tensors.values())


GRAPHS = Graphs()
_ABANDONED: list[Any] = []


def _after_fork() -> None:
    """A child of a fork has no use for its parent's graphs, and must not call the driver to free them."""
    _ABANDONED.append(dict(GRAPHS.__dict__))
    GRAPHS.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
