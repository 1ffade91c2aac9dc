"""COMET beside BLEU and chrF, by a command that answers as unbabel-comet's does."""

import json
import sys

import pytest
from conftest import run_tool
from synthetic_set import write_hypotheses, write_raw

# The score of a translation: 1 if it is the reference, else half that. What the command writes is
# as in comet/cli/score.py of version 2.2.7.
COMMAND = f"""#!{sys.executable}
import argparse, json, sys
parser = argparse.ArgumentParser()
for name in ("-s", "-r", "--model", "--gpus", "--to_json"):
    parser.add_argument(name)
parser.add_argument("-t", nargs="+")
parser.add_argument("--quiet", action="store_true")
parser.add_argument("--only_system", action="store_true")
args = parser.parse_args()
if args.model != "tiny.ckpt":
    sys.exit("Traceback\\nKeyError: no model " + args.model)
src, ref = (open(file).read().splitlines() for file in (args.s, args.r))
scores = {{}}
for file in args.t:
    lines = open(file).read().splitlines()
    scores[file.rpartition("/")[2]] = [
        {{"src": s, "mt": t, "ref": r, "COMET": 1.0 if t == r else 0.5}}
        for s, t, r in zip(src, lines, ref, strict=True)
    ]
json.dump(scores, open(args.to_json, "w"))
"""


@pytest.fixture
def score(tmp_path):
    """Score two systems, one of which is right in Spanish alone."""
    write_raw(tmp_path / "raw")
    write_hypotheses(tmp_path / "right", tmp_path / "raw", "st asr")
    write_hypotheses(tmp_path / "half", tmp_path / "raw", "st")
    italian = tmp_path / "half/test_it/text.st"
    italian.write_text(italian.read_text().replace(" you", " we").replace("again", "\u2028 again"))

    def run(*options):
        return run_tool(
            "score", "--recipe", "toy", "--raw", tmp_path / "raw", "--set", "test",
            "--langs", "es it",
            "--system", f"comsl={tmp_path}/right", "--system", f"cascade={tmp_path}/half",
            "--out", tmp_path / "report", "--command", "./run.sh", *options, check=False,
        )  # fmt: skip

    return run


def test_it_is_scored_by_language_beside_bleu(score, tmp_path, monkeypatch):
    command = tmp_path / "comet-score"
    command.write_text(COMMAND)
    command.chmod(0o755)
    monkeypatch.setenv("COMET_SCORE", str(command))
    done = score("--metrics", "bleu comet", "--comet_model", "tiny.ckpt")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "report/results.json").read_text())
    systems = {(entry["name"], entry["task"]): entry for entry in results["systems"]}
    assert systems["comsl", "st"]["comet"] == {
        "es": 100,
        "it": 100,
        "avg": 100,
        "high": 100,
        "mid": 100,
    }
    wrong = systems["cascade", "st"]["comet"]
    assert wrong["es"] == 100
    assert 50 <= wrong["it"] < 100
    assert "comet" not in systems["comsl", "asr"]
    assert "chrf" not in systems["comsl", "st"]
    report = (tmp_path / "report/RESULTS.md").read_text()
    assert "## COMET\n" in report
    assert "tiny.ckpt, times 100, by unbabel-comet" in report
    failed = score("--metrics", "comet")
    assert failed.returncode == 1
    assert "comet-score failed: KeyError: no model Unbabel/wmt22-comet-da\n" in failed.stderr


def test_without_its_package_it_is_off_and_one_line_where_it_is_asked_for(score, monkeypatch):
    monkeypatch.setenv("COMET_SCORE", "no-such-command")
    assert score().returncode == 0
    failed = score("--metrics", "bleu comet")
    assert failed.returncode == 1
    assert failed.stderr.endswith("then set COMET_SCORE=comet/bin/comet-score\n")
    assert (
        "--metrics: no 'bleurt', there are bleu chrf comet" in score("--metrics", "bleurt").stderr
    )
