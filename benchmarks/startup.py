"""Seconds until a command does something useful, against the limit that the project set itself.

Help and errors answer within a second; a tool begins its work within ten: it has then imported
what it needs, loaded its models, and writes its first line of progress. Needs stages 1 to 7.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import yaml

from benchmarks.common import interleave, parser, report, row


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, repeats=3)
    options.add_argument("--experiment", type=Path, default=Path("exp/asterisk/asterisk_joint"))
    options.add_argument("--raw", type=Path, default=Path("dump/asterisk/raw"))
    return options.parse_args()


def wait(command: list[str], sign: str, out: Path) -> None:
    """Start a command, which writes into `out`, and stop it when a line that it prints holds
    `sign`."""
    shutil.rmtree(out, ignore_errors=True)  # a tool would go on where it was stopped
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    with process:
        for line in process.stdout:
            if sign in line:
                break
        else:
            raise RuntimeError(f"{' '.join(command)}: ended without '{sign}'")
        process.kill()


def training_config(experiment: Path, folder: Path) -> Path:
    """Write the settings of a finished training so that `--config` takes them again.

    ESPnet stores three entries beside the options, which its own parser then refuses.
    """
    settings = yaml.safe_load((experiment / "config.yaml").read_text())
    for name in ("required", "version", "distributed"):
        settings.pop(name, None)
    config = folder / "train.yaml"
    config.write_text(yaml.safe_dump(settings))
    return config


def commands(options: argparse.Namespace, folder: Path) -> dict[str, tuple[list[str], str, float]]:
    """What is started, the sign of its first useful work, and the limit in seconds."""

    def tool(name: str, *arguments) -> list[str]:
        return [sys.executable, "-m", f"comsl.bin.{name}", *map(str, arguments)]

    out, frozen = folder / "out", training_config(options.experiment / "frozen", folder)
    raw, model, single = ("--raw", options.raw), options.experiment, ("--batch_size", 1)
    return {
        "run.sh --help": (["./run.sh", "--help"], "stop_stage", 1),
        "run.sh, unknown option": (["./run.sh", "--bogus", "1"], "bogus", 1),
        "train (stage 6)": (
            tool("train", "--config", frozen, "--output_dir", out, "--log_interval", 1),
            "1epoch:train:1-1batch",
            10,
        ),
        "extract_features (stage 5)": (
            tool("extract_features", *raw, "--out", out, "--sets", "dev", "--batch_seconds", 1),
            "left",
            10,
        ),
        "decode (stage 7)": (
            tool("decode", "--model", model, *raw, "--langs", "fr", "--out", out, *single),
            "st: ",
            10,
        ),
    }


def main() -> None:
    """Measure and report."""
    options = parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        todo = commands(options, folder)
        work = {
            name: partial(wait, command, sign, folder / "out")
            for name, (command, sign, _) in todo.items()
        }
        seconds = interleave(work, options.repeats)
    rows = [
        row(name, seconds[name], limit, "s; the baseline is the limit", "lower")
        for name, (_, _, limit) in todo.items()
    ]
    report(rows, options)


if __name__ == "__main__":
    main()
