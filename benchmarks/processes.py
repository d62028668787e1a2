"""A process whose lines are read as they come, each waited for no longer than is allowed."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence

from benchmarks import record


class Lines:
    """The lines that a process prints; it runs in the root of the repository, and ends with the block."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(os.environ if environment is None else environment),
            cwd=record.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._threads = [  # which an interpreter that is ended does not wait for
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            self._lines.put(text)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self._errors.append(self._process.stderr.read())

    def send(self, text: str) -> None:
        """A line to the process; one that has ended does not get it, which the next wait shows."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()

    def next(self, seconds: float) -> str | None:
        """The next line; None once the process has ended.

        Raises:
            TimeoutError: If there is none after so many seconds.
        """
        try:
            return self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError(f"nothing for {seconds:g} seconds") from None

    def end(self, seconds: float = 0.0) -> str:
        """Ends the process, unless it does so by itself within some seconds.

        Returns:
            Its exit status, and the end of what it said on standard error.
        """
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return f"exit status {self._process.returncode}: {''.join(self._errors)[-1000:]}"

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.poll()
