"""The benchmark of GPUs, at tiny dimensions on the CPU."""

import json
import sys

from conftest import run_tool

from benchmarks import gpu
from comsl.planning.plan import read_costs


def test_it_measures_and_its_costs_are_the_plans(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "alone", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    costs, results = tmp_path / "costs.json", tmp_path / "gpu.json"
    options = ["--device", "cpu", "--sizes", "tiny", "--ways", "plain LoRA", "--compiled", "false"]
    options += ["--batches", "1", "--batch_bins", "1000", "--costs", costs, "--json", results]
    monkeypatch.setattr(sys, "argv", ["gpu", *map(str, options)])
    gpu.main()
    rows = json.loads(results.read_text())["rows"]
    assert list(rows) == ["tiny, decoding", "tiny, plain", "tiny, LoRA"]
    assert rows["tiny, plain"]["mfu"] > 0
    assert "clips/s" in capsys.readouterr().out
    assert read_costs(costs)["devices"]["measured"]["training"]["value"] > 0
    planned = run_tool("plan", "--hours", 10, "--device", "measured", "--costs", costs)
    assert "measured by benchmarks/gpu.py" in planned.stdout


def test_what_fails_is_a_row_of_its_own(monkeypatch):
    """In a process of its own, whose end does not end the others."""
    row = gpu.alone(int, "no number")
    assert row["failed"].startswith("ValueError: invalid literal")
