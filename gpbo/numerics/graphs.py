"""Iterations in blocks that the host does not interrupt: captured CUDA graphs on a GPU, eager elsewhere.

A step is a function that updates a state, tensors by name, in place, from itself and from inputs that stay as they are.
On a GPU the launches of its hundred small operations cost more than their arithmetic; a graph of several steps is
launched once. The first block of a kind runs eagerly, which also warms up the libraries; from the second time on there
is a graph. Whether to go on is decided on the device, in the tensor ``done``, and read once a block.

A step may contain what a graph cannot hold (an operation that waits for the device or allocates outside PyTorch). Then
capturing fails, its kind is remembered, and it runs eagerly from then on; the result is the same.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gpbo.numerics import memory

logger = logging.getLogger(__name__)

Tensors: TypeAlias = dict[str, Tensor]
Step: TypeAlias = Callable[[Tensors, Tensors], None]
Capture: TypeAlias = Callable[[Step, Tensors, Tensors, int], Callable[[], None]]

_MOST_GRAPHS = 64
_MOST_BYTES = 2**28  # of the tensors of one graph: larger ones are busy for longer than their launches take
_ALL_BYTES = 2**30  # of those of all graphs


def capture(step: Step, state: Tensors, inputs: Tensors, count: int) -> Callable[[], None]:
    """A CUDA graph of so many steps on these tensors; what replays it.

    Raises:
        RuntimeError: If the step holds an operation that cannot be captured.
    """
    graph, device = torch.cuda.CUDAGraph(), state["done"].device
    stream, before = _stream(device), torch.cuda.current_stream(device)
    try:
        with torch.cuda.device(device):
            stream.wait_stream(before)
            with torch.cuda.stream(stream):
                step(state, inputs)  # libraries allocate for a stream when they meet it, which must not be in a graph
            # Other threads of the user's program may allocate meanwhile: their work is none of this capture's business.
            try:
                with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                    for _ in range(count):
                        step(state, inputs)
            except BaseException:
                _end_allocations(graph, device)
                raise
    finally:
        torch.cuda.set_stream(before)  # where capturing fails, PyTorch leaves its own in place
    return graph.replay


def _end_allocations(graph: torch.cuda.CUDAGraph, device: torch.device) -> None:
    """Ends what PyTorch before 2.12 leaves open when a capture fails, and which would make later calls fail.

    As long as the allocator believes that a capture is under way, ``empty_cache`` and other captures raise.
    """
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 12):
        return
    index = torch.cuda.current_device() if device.index is None else device.index
    for end in (torch._C._cuda_endAllocateToPool, torch._C._cuda_releasePool):
        with contextlib.suppress(Exception):
            end(index, graph.pool())


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all captures: libraries keep workspaces of megabytes for every stream they have met."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class _Captured:
    """A graph and the tensors it reads and writes."""

    def __init__(self, make: Capture, step: Step, state: Tensors, inputs: Tensors, count: int) -> None:
        self._state, self._inputs = _copies(state), _copies(inputs)
        self._replay = make(step, self._state, self._inputs, count)
        self.bytes = _bytes(state) + _bytes(inputs)

    def run(self, state: Tensors, inputs: Tensors, blocks: int) -> None:
        for mine, theirs in ((self._state, state), (self._inputs, inputs)):
            for name, tensor in theirs.items():
                mine[name].copy_(tensor)
        for block in range(blocks):
            self._replay()
            if block + 1 < blocks and bool(self._state["done"].all()):
                break
        for name, tensor in state.items():
            tensor.copy_(self._state[name])


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

    def iterate(
        self,
        step: Step,
        state: Tensors,
        inputs: Tensors | None = None,
        *,
        rounds: int,
        every: int,
        kind: Hashable = None,
    ) -> None:
        """Runs a step until it is done everywhere.

        Args:
            step: Updates the state in place, without a look at values from the host, and sets ``done`` in it. What else
                it depends on must be part of ``kind``.
            state: By name; ``done`` is a tensor of flags. All tensors must be on one device.
            inputs: What the step reads only.
            rounds: Most steps. Whole blocks where there is a graph: the step itself must see when it is to stop.
            every: Steps in a block, after which ``done`` is read.
            kind: What the step is; None if it is never to be captured.
        """
        inputs, device = inputs or {}, state["done"].device
        captured = None
        if kind is not None and self._applies(device) and _bytes(state) + _bytes(inputs) <= _MOST_BYTES:
            captured = self._acquire(kind, step, state, inputs, every)
        if captured is None:
            _eagerly(step, state, inputs, rounds, every)
            return
        try:
            captured.run(state, inputs, -(-rounds // every))
        finally:
            self._lock.release()

    def _acquire(self, kind: Hashable, step: Step, state: Tensors, inputs: Tensors, every: int) -> _Captured | None:
        """The graph, with the lock held; None, without it, where the step is to run eagerly."""
        if not self._lock.acquire(blocking=False):  # another thread is in one, and their tensors are shared
            return None
        captured = None
        try:
            key = (kind, state["done"].device, every, *_shapes(state), *_shapes(inputs))
            captured = self._kept.get(key)
            if captured is None and kind not in self._refused and key in self._seen:
                captured = self._captured(kind, step, state, inputs, every)
            self._seen.add(key)
            if captured is not None:
                self._kept[key] = captured
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST_GRAPHS or sum(each.bytes for each in self._kept.values()) > _ALL_BYTES:
                    self._kept.popitem(last=False)
            return captured
        finally:
            if captured is None:
                self._lock.release()

    def _captured(self, kind: Hashable, step: Step, state: Tensors, inputs: Tensors, every: int) -> _Captured | None:
        try:
            return _Captured(self._make, step, state, inputs, every)
        except RuntimeError as error:
            if memory.refused(error):
                self._kept.clear()
            else:
                self._refused.add(kind)
                logger.info("%s runs without a CUDA graph: %s", kind, error)
        return None


def _eagerly(step: Step, state: Tensors, inputs: Tensors, rounds: int, every: int) -> None:
    for start in range(0, rounds, every):
        for _ in range(min(every, rounds - start)):
            step(state, inputs)
        if start + every < rounds and bool(state["done"].all()):
            return


def _copies(tensors: Tensors) -> Tensors:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _bytes(tensors: Tensors) -> int:
    return sum(each.numel() * each.element_size() for each in tensors.values())


def _shapes(tensors: Tensors) -> Iterator[Hashable]:
    for name in sorted(tensors):
        yield name, tensors[name].shape, tensors[name].dtype


GRAPHS = Graphs()
_ABANDONED: list[Any] = []


def _after_fork() -> None:
    """A child of a fork has no use for its parent's graphs, and must not call the driver to free them."""
    _ABANDONED.append(dict(GRAPHS.__dict__))
    GRAPHS.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
