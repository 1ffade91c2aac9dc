"""The embedded recipe in miniature: every stage, by the real command, on a few real prompts."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, run_tool

from comsl.corpora.kaldi import read_table


def run_recipe(work: Path, *options: str, top: Path = ROOT) -> subprocess.CompletedProcess:
    command = [
        str(top / "run.sh"),
        *("--datadir", f"{work}/data", "--dumpdir", f"{work}/dump", "--expdir", f"{work}/exp"),
        *("--langs", "fr it", "--local_data_opts", "--limit 4", "--max_dropped", "0.5"),
        *options,
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=work)


@pytest.fixture(scope="module")
def work(tmp_path_factory, tiny_lm) -> Path:
    """A folder in which stages 1 to 11 have run, with one epoch of everything."""
    work = tmp_path_factory.mktemp("recipe")
    options = ["--language_model", str(tiny_lm)]
    options += ["--decode_config", str(work / "decode.yaml")]
    (work / "decode.yaml").write_text("beam_size: 2\n")
    for option, name in {
        "lm_config": "lm",
        "frozen_config": "frozen",
        "train_config": "joint",
    }.items():
        settings = yaml.safe_load((ROOT / f"conf/train_asterisk_{name}.yaml").read_text())
        settings |= {"max_epoch": 1, "num_iters_per_epoch": 2}
        (work / f"train_{name}.yaml").write_text(yaml.safe_dump(settings))
        options += [f"--{option}", str(work / f"train_{name}.yaml")]
    (work / "options.json").write_text(json.dumps(options))
    result = run_recipe(work, *options)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (work / "printed.txt").write_text(result.stdout)
    return work


def test_every_stage_leaves_what_the_design_says(work):
    exp = work / "exp" / "asterisk"
    joint = exp / "joint"
    for path in (
        work / "data/asterisk/test_fr/text.tgt",
        work / "dump/asterisk/raw/test_it/wav.scp",
        exp / "lm/model.safetensors",
        work / "dump/asterisk/encoder/train/feats.scp",
        exp / "frozen/checkpoint.pth",
        joint / "checkpoint.pth",
        joint / "packed/README.md",
        joint / "decode/test_it/nll.st",
        exp / "whisper-zero-shot/test_fr/text.st",
        exp / "cascade/test_fr/text.st",
        exp / "mt-true-transcript/test_it/text.mt",
        *(exp / f"{name}/test_other_it/text.st" for name in ("joint/decode", "cascade")),
        exp / "whisper-zero-shot/test_other_it/text.asr",
        exp / "report/RESULTS.md",
        exp / "report/index.html",
    ):
        assert path.is_file(), path
    results = json.loads((exp / "report/results.json").read_text())
    (other,) = results["further"]
    assert other["systems"][0]["utterances"] == {"it": 3}  # one of four is longer than 12 s
    for part in (results, other):
        assert {(system["name"], system["task"]) for system in part["systems"]} == {
            *(("comsl", task) for task in ("st", "asr", "mt")),
            *(("whisper-zero-shot", task) for task in ("st", "asr")),
            ("cascade", "st"),
            ("mt-true-transcript", "mt"),
        }
    assert str(exp / "report/index.html") in (work / "printed.txt").read_text()


def test_whisper_understands_the_prompts(work):
    """True weights on true speech: a random encoder would recognise nothing."""
    systems = json.loads((work / "exp/asterisk/report/results.json").read_text())["systems"]
    (asr,) = (s for s in systems if s["name"] == "whisper-zero-shot" and s["task"] == "asr")
    assert asr["wer"]["avg"] < 60


def test_a_second_run_does_nothing(work, warm_top):
    def times() -> dict[Path, int]:
        files = (path for path in work.rglob("*") if path.is_file() and "logs" not in path.parts)
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    result = run_recipe(work, *json.loads((work / "options.json").read_text()), top=warm_top)
    assert result.returncode == 0
    assert times() == before


def test_training_goes_on_where_it_broke_off(work, warm_top):
    """Stage 6 killed before its last file: what is trained is not trained again."""
    exp = work / "exp/asterisk"
    (exp / "joint/valid.ce_st.ave.pth").unlink()
    (exp / "joint.made.json").rename(exp / "joint.begun.json")
    before = {path: path.stat().st_mtime_ns for path in exp.rglob("?epoch.pth")}
    assert len(before) == 3
    options = json.loads((work / "options.json").read_text())
    result = run_recipe(work, *options, "--stage", "6", "--stop_stage", "6", top=warm_top)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert (exp / "joint/valid.ce_st.ave.pth").is_file()
    assert {path: path.stat().st_mtime_ns for path in exp.rglob("?epoch.pth")} == before


def test_the_packed_model_translates_a_prompt(work, monkeypatch):
    """By itself, as stage 7 did: Whisper's own weights are not fetched for it."""
    from comsl.inference import SpeechTranslator

    monkeypatch.setattr("comsl.encoders.whisper.load_whisper", None)
    translator = SpeechTranslator.from_pretrained(work / "exp/asterisk/joint/packed")
    decoded = read_table(work / "exp/asterisk/joint/decode/test_fr/text.st")
    for utterance, clip in read_table(work / "dump/asterisk/raw/test_fr/wav.scp").items():
        text = translator.translate(ROOT / clip, src_lang="fr", beam_size=2)
        assert text == decoded[utterance]


def test_a_study_of_one_row(work, warm_top):
    """On states below the top block, without a frozen phase, whose epochs are longer: the rate
    falls to the end all the same; then the table, in both reports. A report of several splits
    beside it is no study's."""
    report = work / "exp/asterisk/report"
    (report / "folds").mkdir()
    shutil.copy(report / "results.json", report / "folds")
    settings = yaml.safe_load((ROOT / "conf/train_asterisk_study.yaml").read_text())
    settings |= {"max_epoch": 1, "scheduler_conf": {"warmup_steps": 1, "power": 1.0}}
    config, frozen = work / "train_study.yaml", work / "train_study_frozen.yaml"
    config.write_text(yaml.safe_dump(settings | {"num_iters_per_epoch": 2}))
    frozen.write_text(yaml.safe_dump(settings | {"num_iters_per_epoch": 3}))
    result = run_recipe(
        work,
        *json.loads((work / "options.json").read_text()),
        *("--study", "ablation", "--study_rows", "1_st", "--study_folds", "0"),
        *("--study_opts", f"--frozen_config {frozen} --train_config {config} --top_blocks 1"),
        top=warm_top,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    (row,) = json.loads((report / "ablation/results.json").read_text())["systems"]
    assert (row["name"], row["published"]) == ("ablation/1_st", 26.48)
    assert row["cost"]["updates"] == 6  # 2 + 3, in whole epochs of 2
    path = work / "exp/asterisk/ablation/1_st/checkpoint.pth"
    schedule = torch.load(path, weights_only=True)["schedulers"][0]
    assert (schedule["total_steps"], schedule["last_epoch"]) == (6, 6)
    assert set(schedule["_last_lr"]) == {schedule["end_lr"]}
    assert 0.2 < row["cost"]["memory_gb"] < 20
    assert row["nll"]["per_token"] > 0
    assert "Study: ablation" in (report / "index.html").read_text()


def test_a_truncated_clip_is_dropped_and_named(work):
    """Stage 2 again, with one clip cut short: it is listed with its reason, the rest stays."""
    utterance, clip = read_table(work / "data/asterisk/test_fr/wav.scp").popitem()
    whole = (ROOT / clip).read_bytes()
    (ROOT / clip).write_bytes(whole[:100])
    try:
        run_tool(
            *("prepare_speech", "--data", work / "data/asterisk", "--out", work / "again"),
            *("--langs", "fr", "--max_dropped", "0.5"),
        )
    finally:
        (ROOT / clip).write_bytes(whole)
    assert utterance in (work / "again/dropped.tsv").read_text()
    assert utterance not in (work / "again/test_fr/wav.scp").read_text()
