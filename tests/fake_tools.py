"""The real driver with tools that note how they were called, and only leave their outputs: what a
run calls, in seconds."""

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from conftest import ROOT

# These are light, and the driver's own: they run as they are.
REAL = ("made", "check_options", "overrides", "run_study", "comsl")

PYTHON = f"""#!/bin/sh
case $2 in
  {"|".join(f"comsl.bin.{tool}" for tool in REAL)}) PYTHONPATH={ROOT} exec {sys.executable} "$@" ;;
  *) exec {sys.executable} -S -E tool.py "$@" ;;
esac
"""

# In the place of `python -m comsl.bin.<tool> options`. The tool that FAIL names fails,
# that which WAIT names notes its process, and takes long.
TOOL = """
import os, sys, time
from pathlib import Path

module, *words = sys.argv[2:]
tool = module.rpartition(".")[2]
with open("calls", "a") as calls:
    print(tool, *words, sep="\\t", file=calls)
options = dict(zip(words, words[1:]))
out = Path(options.get("--out") or options.get("--output_dir") or words[-1])
if tool == "train":
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "checkpoint.pth", "a") as checkpoint:
        checkpoint.write("epoch ")
if tool == os.environ.get("WAIT"):
    with open("waiting", "a") as waiting:
        print(os.getpid(), file=waiting)
    time.sleep(60)
if tool == os.environ.get("FAIL"):
    print("error: utterance x is silent", file=sys.stderr)
    sys.exit(1)
made = {
    "prepare_speech": [f"{name}/text.tgt" for name in ("train", "dev", "test_fr")],
    "token_lengths": ["source_shape"],
    "likelihood": ["test_fr/nll.st"],
    "draw_similarity": ["similarity.json"],
    "score": ["results.json"],
    "interpolate": [""],
    "export_whisper": [""],
    "pack": ["model.safetensors"],
    "export_adapter": [""],
    "join_parts": [],
    "validate_data": [],
    "check_trainings": [],
    "study": [],
}
if tool == "token_lengths":
    out = Path(next(word for word in words[2:]))
for file in made.get(tool, ["made"]):
    path = out / file
    path.parent.mkdir(parents=True, exist_ok=True)
    recipe = str(out).split("/")[1]  # names an utterance; fold 9 has fold 1's
    path.write_text(recipe.replace("fold9", "fold1") + " text\\n")
"""

CHECKS = ("check_trainings", "join_parts")  # and what only joins parts

Calls = list[tuple[str, list[str]]]


class Driver:
    """A copy of the driver and the embedded recipe, without an environment, in a folder: one that
    has it is left as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if (folder / "run.sh").exists():
            return
        for name in ("local", "conf", "egs2/asterisk"):
            shutil.copytree(ROOT / name, folder / name, symlinks=True)
        for name in ("run.sh", "cmd.sh"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "bin").mkdir()
        (folder / "tool.py").write_text(TOOL)
        (folder / "bin/python").write_text(PYTHON)
        (folder / "bin/python").chmod(0o755)
        (folder / "path.sh").write_text("PATH=$PWD/bin:$PATH\n")
        model = folder / "egs2/debian_l10n/mt1/mbart_small"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")

    def __call__(self, *options: object) -> Calls:
        """The tools that a run calls, each with its options."""
        done = self.run(*options)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.calls()

    def run(self, *options: object, **env: str) -> subprocess.CompletedProcess[str]:
        """A run, with `env` on top of the environment."""
        (self.folder / "calls").write_text("")
        return self.start(*options, **env)

    def start(self, *options: object, **env: str) -> subprocess.CompletedProcess[str]:
        """The same, beside what runs already."""
        return subprocess.run(
            ["./run.sh", "--langs", "fr", *map(str, options)],
            cwd=self.folder,
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=600,
        )

    def calls(self) -> Calls:
        """Of the last run, but for CHECKS."""
        calls = [line.split("\t") for line in (self.folder / "calls").read_text().splitlines()]
        return [(tool, words) for tool, *words in calls if tool not in CHECKS]


def values(words: list[str], option: str) -> list[str]:
    """All values of an option that may be repeated."""
    return [value for name, value in pairwise(words) if name == option]


def trainings(calls: Calls) -> dict[str, list[str]]:
    """Folder of every composite training -> its options."""
    trained = {values(words, "--output_dir")[0]: words for tool, words in calls if tool == "train"}
    return {folder: words for folder, words in trained.items() if "lm_train" not in folder}
