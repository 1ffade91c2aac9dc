"""What the benchmarks share: options, measuring side by side, and the table and JSON they write."""

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

PACKAGES = ("torch", "espnet", "transformers", "openai-whisper", "kaldiio", "numpy")


def parser(description: str, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    formatter = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds; medians are reported")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of torch")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    return parser


def interleave(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each function, over rounds in which all of them take turns.

    One round before does not count: caches fill, memory is allocated. Progress goes to stderr.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(repeats + 1):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
            print(f"round {number}: {name}: {seconds[name][-1]:.2f} s", file=sys.stderr, flush=True)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def peak_memory(function: Callable, *arguments) -> tuple[object, float]:
    """What a module's function returns in a fresh process, and that process's peak memory, GiB."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:  # which ends where its process is killed
        return pool.submit(_with_peak, function, arguments).result()


def _with_peak(function, arguments) -> tuple[object, float]:
    result = function(*arguments)
    return result, high_water() / 2**30


def high_water() -> int:
    """Peak memory of this process in bytes, since its start or the last `reset_high_water`."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def reset_high_water() -> int:
    """Begin anew to watch the peak; the memory in use now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return high_water()


def matrix_peak(size: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of a large single-precision matrix product on all threads: the best of some."""
    import torch

    matrix = torch.randn(size, size)
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - started)
    return 2 * size**3 / min(times)


def dev_clips(raw: Path, lang: str, number: int | None) -> tuple[list, list[str]]:
    """A language's first so many clips of the development set, None: all, as waves (T,), and their
    translations."""
    from comsl.corpora.kaldi import read_table
    from comsl.corpora.waves import read_wave

    paths, texts = (read_table(raw / f"dev_{lang}" / name) for name in ("wav.scp", "text.tgt"))
    keys = list(paths)[:number]
    return [read_wave(key, paths[key]) for key in keys], [texts[key] for key in keys]


def english_bleu(texts: list[str], references: list[str]) -> float:
    """Of translations into English, as the recipes score them."""
    from comsl.bleu import bleu_metric

    return bleu_metric("en").corpus_score(texts, [references]).score


def row(name: str, ours: float, baseline: float, unit: str, better: str = "higher") -> dict:
    """A line of the table. ratio: how many times better ours is."""
    ratio = ours / baseline if better == "higher" else baseline / ours
    return {"name": name, "ours": ours, "baseline": baseline, "ratio": ratio, "unit": unit}


def report(rows: list[dict], arguments: argparse.Namespace, notes: dict | None = None) -> None:
    """Print the table as README.md has it; write it, with machine and versions, where `--json`
    says."""
    print("| | ours | baseline | ratio | unit |\n|---|--:|--:|--:|---|")
    for row in rows:
        numbers = f"{row['ours']:.3g} | {row['baseline']:.3g} | {row['ratio']:.2f}"
        print(f"| {row['name']} | {numbers} | {row['unit']} |")
    for name, value in (notes or {}).items():
        print(f"{name}: {value}")
    if arguments.json:
        options = {k: str(v) for k, v in vars(arguments).items() if k != "json"}
        document = {"machine": machine(), "versions": versions(), "options": options}
        document |= {"rows": rows} | (notes or {})
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def machine() -> dict:
    """Processor, cores and memory."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = cpu.split("model name")[1].split("\n")[0].strip("\t :") if "model name" in cpu else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": model or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that matter here."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | found
