"""FLEURS, mTEDx, MuST-C and Europarl-ST: the stages up to the report, as a lab runs them, on
miniatures of the published archives with their faults."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import write_whisper
from test_fleurs import write_hub
from test_segments import write_europarl_st, write_mtedx, write_must_c, write_talks
from tiny_models import write_trainings

from comsl.corpora.kaldi import read_table


def write_fleurs(top: Path) -> Path:
    write_hub(top / "corpus")
    return top / "corpus"


def write_all_of_must_c(top: Path) -> Path:
    """With the set that not every direction has."""
    corpus = write_must_c(top)
    write_talks(corpus / "MUSTC_v2.0", "en-de", {"tst-HE": "tst-HE"}, ".wav")
    return corpus


class Case(NamedTuple):
    """write: of the miniature; file: one of it; tests: its test sets; trained, tested: utterances
    that are left of train and of a test set; coverage: percent of the latter as published; dropped:
    rows of all sets that are listed with their faults."""

    write: Callable[[Path], Path]
    file: str
    lang: str
    target_lang: str
    tests: tuple[str, ...]
    trained: int
    tested: int
    coverage: float
    dropped: int


CASES = {
    "fleurs": Case(
        *(write_fleurs, "data/fr_fr/audio/train.tar.gz", "fr", "en", ("test",)),
        *(2, 1, 33.3, 6),
    ),
    "mtedx": Case(
        *(write_mtedx, "mtedx_fr-en.tgz", "fr", "en", ("test",)),
        *(3, 4, 44.4, 16),
    ),
    "must_c": Case(
        *(write_all_of_must_c, "MUSTC_v2.0/en-de/data/train/txt/train.de"),
        *("en", "de", ("tst-COMMON", "tst-HE"), 3, 4, 44.4, 21),
    ),
    "europarl_st": Case(
        *(write_europarl_st, "v1.1.tar.gz", "fr", "en", ("test",)),
        *(3, 4, 44.4, 16),
    ),
}


def run(work: Path, script: Path, corpus: Path, *options) -> subprocess.CompletedProcess:
    """A recipe, on data in `corpus`."""
    folders = f"--datadir {work}/data --dumpdir {work}/dump --expdir {work}/exp"
    command = [script, *folders.split(), *options]
    env = os.environ | {script.parts[-3].upper(): str(corpus)}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env)


def times(work: Path) -> dict[Path, int]:
    """Of what the stages have made."""
    files = (path for name in ("data", "dump", "exp") for path in (work / name).rglob("*"))
    made = (path for path in files if path.is_file() and "logs" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in made}


@pytest.mark.parametrize("recipe", CASES)
def test_a_recipe_goes_from_the_published_files_to_scores(recipe, tmp_path, tiny_lm, warm_top):
    """At first a file is there in part, which is one line; at last it is gone, and not missed."""
    case = CASES[recipe]
    corpus, data = case.write(tmp_path), tmp_path / "data" / recipe
    script = warm_top / f"egs2/{recipe}/comsl1/run.sh"
    options = [
        *("--language_model", tiny_lm, "--speech_encoder", write_whisper(tmp_path / "whisper.pt")),
        *("--langs", case.lang, "--test_set", " ".join(case.tests)),
        *("--stop_stage", 9, "--skip_stages", 8),  # the baselines, which other tests run
        *("--local_data_opts", "--max_dropped 0.7", *write_trainings(tmp_path, script)),
    ]
    again = partial(run, tmp_path, script, corpus, *options)
    file = corpus / case.file
    whole = file.read_bytes()

    file.write_bytes(whole[: len(whole) // 2])
    failed = again()
    assert failed.returncode == 1
    assert len(re.findall(rf"(?m)^error: .*{file.name}", failed.stdout)) == 1
    assert not list(data.glob("*"))

    file.write_bytes(whole)
    done = again()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(read_table(data / f"train_{case.lang}/text.tgt")) == case.trained
    _, *dropped = (data / f"dropped_{case.lang}.tsv").read_text("utf-8").splitlines()
    assert len(dropped) == case.dropped
    check_report(tmp_path / "exp" / recipe, case, long_form="long_form" in script.read_text())

    before = times(tmp_path)
    file.unlink()
    assert again().returncode == 0
    assert times(tmp_path) == before


def check_report(exp: Path, case: Case, long_form: bool) -> None:
    """Every test set by its name with every system, and whole talks where the corpus has any."""
    results = json.loads((exp / "report/results.json").read_text())
    sets = [results, *results["further"]]
    assert [part["split"] for part in sets] == list(case.tests)
    systems = {("comsl", "st"), ("comsl", "asr"), ("comsl", "mt")}
    if long_form:
        systems.add(("comsl-long-form", "st"))
    report = (exp / "report/RESULTS.md").read_text("utf-8")
    for part in sets:
        assert part["target_lang"] == case.target_lang
        assert part["coverage"] == {case.lang: case.coverage}
        assert {(system["name"], system["task"]) for system in part["systems"]} == systems
        assert all(system["utterances"] == {case.lang: case.tested} for system in part["systems"])
        if long_form:
            (folder,) = exp.glob(f"*/decode_long_form/{part['split']}_{case.lang}")
            talks = read_table(folder / "talk.st")
            segments = read_table(folder / "text.st", empty_ok=True)
            assert " ".join(segments.values()).split() == " ".join(talks.values()).split()
    assert ("comsl-long-form" in report) == long_form
