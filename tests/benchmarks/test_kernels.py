"""Benchmarks of kernels run, on tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.kernels import bench_fused, bench_search


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_fused_benchmark_writes_a_line_of_every_operation(device: str, tmp_path: Path) -> None:
    out = tmp_path / "fused.jsonl"
    command = ["--device", device, "--sizes", "33x2", "5x1", "--repeats", "1", "--out", str(out)]
    bench_fused.main([*command, "--kinds", "matern12", "rbf", "--dtypes", "float64", "float32"])
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    providers = {"reference", "fused"} if device == "cuda" and torch.version.cuda else {"reference"}
    assert {line["provider"] for line in lines} == providers
    assert len(lines) == len(providers) * 4 * 2 * 2 * 2  # operations, sizes, kinds, dtypes
    assert all(line["p20"] <= line["p50"] <= line["p80"] and line["floor"] > 0.0 for line in lines)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_search_benchmark_writes_a_line_of_every_operation(device: str, tmp_path: Path) -> None:
    out = tmp_path / "search.jsonl"
    command = ["--device", device, "--small", "--sizes", "33x2", "5x1", "--repeats", "1", "--out", str(out)]
    bench_search.main([*command, "--kinds", "matern52", "rbf"])
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    providers = {"reference", "fused"} if device == "cuda" and torch.version.cuda else {"reference"}
    assert {line["provider"] for line in lines} == providers
    assert len(lines) == len(providers) * 3 * 2 * 2  # operations, sizes, kinds
    assert all(line["p20"] <= line["p50"] <= line["p80"] and line["floor"] > 0.0 for line in lines)


def test_implementations_that_differ_are_not_timed() -> None:
    numbers = iter([torch.zeros(3), torch.ones(3)])
    case = bench_fused.Case("wrong", 1.0, 1.0, lambda: (next(numbers),), 1e-6)
    with pytest.raises(AssertionError):
        bench_fused.check(case)
