"""COMET (Rei et al. 2022), a learnt metric, by the command of its own package.

unbabel-comet wants other versions of NumPy and transformers than this package, so it has an
environment of its own, of which `comet-score` is called.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from comsl.errors import DataError

VARIABLE = "COMET_SCORE"  # of the environment: the command, where it isn't in the PATH
MODEL = "Unbabel/wmt22-comet-da"


def find_command() -> str:
    """The command. DataError: there is none."""
    command = os.environ.get(VARIABLE, "comet-score")
    if found := shutil.which(command):
        return found
    raise DataError(
        f"--metrics: COMET needs the command '{command}': python3 -m venv comet && comet/bin/pip"
        f" install unbabel-comet==2.2.7, then set {VARIABLE}=comet/bin/comet-score"
    )


def comet_scores(
    systems: Mapping[str, Sequence[str]],
    sources: Sequence[str],
    references: Sequence[str],
    model: str = MODEL,
    gpus: int = 0,
) -> dict[str, list[float]]:
    """System -> the score of each of its translations, 100 for one that is as good as it gets.

    model: a name on the hub, or a checkpoint's file. DataError: the command can't be had, or fails.
    """
    command = [find_command(), "--model", model, "--gpus", str(gpus), "--quiet", "--only_system"]
    with TemporaryDirectory() as folder:
        texts = {"source": sources, "reference": references}
        files = {name: _write(Path(folder, name), lines) for name, lines in texts.items()}
        outputs = [_write(Path(folder, str(i)), t) for i, t in enumerate(systems.values())]
        scores = Path(folder, "scores.json")
        command += ["-s", files["source"], "-r", files["reference"], "-t", *outputs]
        done = subprocess.run([*command, "--to_json", scores], capture_output=True, text=True)
        if done.returncode or not scores.is_file():
            reason = (done.stderr.strip() or "it wrote no scores").splitlines()[-1]
            raise DataError(f"{command[0]} failed: {reason}")
        # Per file, in their order, whatever it makes of their names.
        rows = json.loads(scores.read_text("utf-8")).values()
    return {
        name: [100 * segment["COMET"] for segment in segments]
        for name, segments in zip(systems, rows, strict=True)
    }


def _write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(" ".join(line.split()) + "\n" for line in lines), "utf-8")
    return path
