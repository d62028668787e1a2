"""The device under test: what it is, and its memory."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import subprocess
from pathlib import Path

import torch

from benchmarks import record
from benchmarks.record import Line

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def description(device: torch.device) -> Line:
    """Device, driver, versions of CUDA, and the host beside it."""
    from gpbo.numerics import available

    host = {"processor": record.processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    host["host_path"] = "compiled" if available() else "plain torch, numba is missing"
    if device.type != "cuda":
        return {"gpu": None, "driver": None, "cuda": None, **host}
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "gpu_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "l2_bytes": l2_bytes(device),
        **host,
    }


def l2_bytes(device: torch.device) -> int:
    """Size of the last cache before memory; where it is not known, more than any device has."""
    if device.type != "cuda":
        return 2**25
    return int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 2**27))


def file_name(made: Line) -> str:
    """Of the result file of a device: its name in lower case, words joined by hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", (made["gpu"] or "cpu").lower()).strip("-")
    return f"{words}.jsonl"


def synchronise(device: torch.device) -> None:
    """Waits for what was sent to the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Gives back what nobody holds any more, so that the next case finds the memory free."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def reset_peak(device: torch.device) -> None:
    """Lets :func:`peak_bytes` count from here."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # what Linux writes down as the highest resident size
            _CLEAR.write_text("5")


def peak_bytes(device: torch.device) -> int | None:
    """Most memory held since the reset: by torch's allocator on a GPU, by the process on the CPU; None if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM")


def held_bytes(device: torch.device) -> int | None:
    """Memory held now, by whatever :func:`peak_bytes` counts."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else _status("VmRSS")


def _status(entry: str) -> int | None:
    """Bytes that Linux writes down about this process; None elsewhere."""
    try:
        found = re.search(rf"{entry}:\s*(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _driver() -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
        if said:
            return said[0]
    with contextlib.suppress(OSError):
        found = re.search(r"Kernel Module\D*([\d.]+)", Path("/proc/driver/nvidia/version").read_text())
        return found.group(1) if found else None
    return None
