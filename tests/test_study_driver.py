"""`./run.sh --study`: which trainings a study makes, by the real driver with tools that only leave
their outputs."""

import os
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

# In the place of `python -m comsl.bin.<tool> options`: notes the call, makes what it would make.
TOOL = """
import os, sys
from pathlib import Path

module, *words = sys.argv[2:]
tool = module.rpartition(".")[2]
if tool == "overrides":
    sys.path.insert(0, os.environ["TOP"])
    sys.argv[:] = [tool, *words]
    from comsl.bin.overrides import main
    main()
    sys.exit()
with open("calls", "a") as calls:
    print(tool, *words, sep="\\t", file=calls)
options = dict(zip(words, words[1:]))
SETS = options.get("--sets", "").split()
made = {
    "prepare_speech": ["--out", ["test_fr/text.tgt"]],
    "train": ["--output_dir", ["valid.ce_st.ave.pth", "valid.loss.ave.pth"]],
    "extract_features": ["--out", [f"{name}/feats.scp" for name in SETS]],
    "extract_teacher": ["--out", [f"{name}/feats.scp" for name in SETS]],
    "likelihood": ["--out", ["test_fr/nll.st"]],
    "draw_similarity": ["--out", ["similarity.json"]],
    "add_languages": ["--out", []],  # the tokenizer has them
}
folder, files = made.get(tool, ["--out", [".keep"]])
for file in files if folder in options else []:
    path = Path(options[folder], file)
    path.parent.mkdir(parents=True, exist_ok=True)
    recipe = options[folder].split("/")[1]  # names an utterance; fold 9 has fold 1's
    path.write_text(recipe.replace("fold9", "fold1") + " text\\n")
"""

TRAIN_DATA = "--train_data_path_and_name_and_type"


class Driver:
    """A copy of the driver and the embedded recipe, without an environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("local", "conf", "egs2/asterisk"):
            shutil.copytree(ROOT / name, folder / name, symlinks=True)
        for name in ("run.sh", "cmd.sh"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "bin").mkdir()
        (folder / "tool.py").write_text(TOOL)
        (folder / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} tool.py "$@"\n')
        (folder / "bin/python").chmod(0o755)
        (folder / "path.sh").write_text("PATH=$PWD/bin:$PATH\n")

    def __call__(self, *options: str) -> list[tuple[str, list[str]]]:
        """The tools that a run calls, each with its options."""
        done = self.run(*options)
        assert done.returncode == 0, done.stderr
        return self.calls()

    def run(self, *options: str) -> subprocess.CompletedProcess:
        (self.folder / "calls").write_text("")
        return subprocess.run(
            ["./run.sh", "--langs", "fr", *options],
            cwd=self.folder,
            env=os.environ | {"TOP": str(ROOT)},
            capture_output=True,
            text=True,
        )

    def calls(self) -> list[tuple[str, list[str]]]:
        calls = [line.split("\t") for line in (self.folder / "calls").read_text().splitlines()]
        return [(tool, words) for tool, *words in calls]


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


def values(words: list[str], option: str) -> list[str]:
    """All values of an option that may be repeated."""
    return [value for name, value in pairwise(words) if name == option]


def trainings(calls: list) -> dict[str, list[str]]:
    """Folder of every composite training -> its options."""
    trained = {values(words, "--output_dir")[0]: words for tool, words in calls if tool == "train"}
    return {folder: words for folder, words in trained.items() if "lm_train" not in folder}


def test_a_study_trains_its_rows_on_every_fold_and_compares_them(driver):
    study = ["--study", "ablation", "--study_rows", "4_asr 5_frozen", "--study_folds", "0 1"]
    calls = driver(*study)
    folders = ("4_asr", "5_frozen/frozen", "5_frozen")
    trained = trainings(calls)
    assert list(trained) == [
        f"exp/{recipe}/ablation/{folder}"
        for recipe in ("asterisk", "asterisk_fold1")
        for folder in folders
    ]
    never, frozen, joint = (trained[f"exp/asterisk/ablation/{folder}"] for folder in folders)
    for words in (never, frozen, joint):
        assert values(words, "--config") == ["conf/train_asterisk_study.yaml"]
        # of its own file, and of those above it
        changed = dict(value.split("=") for value in values(words, "--model_conf"))
        expected = {"w_asr": "0.35", "w_mt": "0.2", "w_cml": "0", "alpha_st": "0.8"}
        assert changed == expected | {"alpha_mt": "0"}
        (speech,) = (v for v in values(words, TRAIN_DATA) if "speech" in v)
        assert speech == "dump/asterisk/encoder_below_top_1/train/feats.scp,speech,kaldi_ark"
        assert "top_blocks=1" in values(words, "--speech_encoder_conf")
    settings = yaml.safe_load((ROOT / "conf/train_asterisk_study.yaml").read_text())
    assert values(never, "--max_epoch") == [str(2 * settings["max_epoch"])]  # both phases together
    steps = 2 * settings["scheduler_conf"]["total_steps"]
    assert values(never, "--scheduler_conf") == [f"total_steps={steps}"]
    assert "trainable_blocks=0" in values(frozen, "--speech_encoder_conf")
    for words in (never, joint):
        assert "trainable_blocks=0" not in values(words, "--speech_encoder_conf")
    start = ["exp/asterisk/ablation/5_frozen/frozen/valid.ce_st.ave.pth"]
    assert [values(words, "--init_param") for words in (never, frozen, joint)] == [[], [], start]

    prepared = [words for tool, words in calls if tool == "prepare_asterisk"]
    assert [values(words, "--fold") for words in prepared] == [[], ["1"]]
    assert [tool for tool, _ in calls].count("export_lm") == 2  # once a fold
    assert {values(words, "--tasks")[0] for tool, words in calls if tool == "decode"} == {"st"}
    looked = {values(words, "--out")[0]: words for tool, words in calls if tool == "similarity"}
    row = "exp/asterisk_fold1/ablation/{}"
    assert list(looked)[2:] == [row.format("4_asr/similarity"), row.format("5_frozen/similarity")]
    compared = [values(words, "--compare_with") for words in looked.values()]
    assert compared == [[], ["exp/asterisk/ablation/4_asr"], [], [row.format("4_asr")]]
    tool, words = calls[-1]
    assert tool == "study"
    assert values(words, "--rows") == ["4_asr 5_frozen"]  # others may be of other settings
    assert values(words, "--target_lang") == ["en"]
    assert words[words.index("--fold") :][:6] == [
        *("--fold", "dump/asterisk/raw", "exp/asterisk/ablation"),
        *("--fold", "dump/asterisk_fold1/raw", "exp/asterisk_fold1/ablation"),
    ]
    (command,) = values(words, "--command")
    assert shlex.split(command) == ["./run.sh", "--langs", "fr", *study]  # can be pasted
    assert [tool for tool, _ in driver(*study)] == ["study"]  # all else is there


def test_a_row_with_further_data_has_them_made(driver):
    """Stage 4 is skipped for the rows without."""
    untranslated = driver.folder / "dump/asterisk/raw/untranslated"
    untranslated.mkdir(parents=True)
    study = ["--study", "ablation", "--study_folds", "0", "--study_rows", "7_cml 8_pseudo"]
    calls = driver(*study)
    assert [tool for tool, _ in calls].count("translate_text") == 1
    row = "exp/asterisk/ablation/{}".format
    before, pseudo = (trainings(calls)[row(name)] for name in ("7_cml", "8_pseudo"))
    (text,) = (v for v in values(before, TRAIN_DATA) if v.endswith("text.tgt,target_text,text"))
    assert text.startswith("dump/asterisk/raw/train/")
    (text,) = (v for v in values(pseudo, TRAIN_DATA) if v.endswith("text.tgt,target_text,text"))
    assert text.startswith("dump/asterisk/raw/train_with_pseudo/")
    assert [tool for tool, _ in driver(*study)] == ["study"]


def test_a_changed_row_is_trained_again_and_so_are_those_that_build_on_it(driver):
    study = ["--study", "ablation", "--study_folds", "0"]
    driver(*study, "--study_rows", "1_st 2_mt 3_ddm")
    with (driver.folder / "conf/ablation/2_mt.yaml").open("a") as file:
        file.write("max_epoch: 1\n")
    again = trainings(driver(*study, "--study_rows", "1_st 2_mt 3_ddm"))
    assert list(again) == ["exp/asterisk/ablation/2_mt", "exp/asterisk/ablation/3_ddm"]
    for words in again.values():
        assert values(words, "--max_epoch")[-1] == "1"  # the last one counts


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--override", "conf/modality_gap/waco.yaml"], "--study sets --override, --tag and"),
        (["--tag", "mine"], "--study sets --override, --tag and --compare_with itself"),
        (["--stop_stage", "6"], "--study takes its rows through all stages"),
        (["--study_rows", "7_cml 8_pseudo"], "there is no set dump/asterisk/raw/untranslated"),
        (["--study_folds", "1 9"], "--study_folds 1 9: utterance 'asterisk_fold1' is in the test"),
        (["--study_folds", "1 0 1"], "--study_folds names fold 1 twice"),
        (["--study_folds", "01"], "--study_folds is '01': write numbers"),
        (["--study_opts", "--langs es"], "row 1_st of study ablation changes --langs, which all"),
    ],
)
def test_what_no_row_or_not_all_can_have_is_said_before_any_trains(driver, options, complaint):
    """Here nothing is untranslated."""
    rows = ["--study_rows", "1_st", "--study_folds", "0"]
    done = driver.run("--study", "ablation", *rows, *options)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {complaint}")
    assert not trainings(driver.calls())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("optim_conf: {betas: [0.9, 0.98]}", "conf/mine/2.yaml: betas is a list"),
        ("run: {frozen_phase: sometimes}", "--frozen_phase is none, some or all, not 'sometimes'"),
        ("run: {train_config: conf/no.yaml}", "--train_config: there is no file conf/no.yaml"),
        ("run: {silence: 0.25}", "row 2 of study mine changes --silence, which all rows share"),
        ("run: {tag: mine}", "row 2 of study mine changes --tag, which all rows share"),
        ("run: {top_blocks: two}", "option --top_blocks wants a whole number, not 'two'"),
        ("run: {blocks: 2}", "unknown option --blocks"),
    ],
)
@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_what_a_row_cannot_be_is_said_before_anything_runs(driver, text, complaint, dry_run):
    (driver.folder / "conf/mine").mkdir()
    (driver.folder / "conf/mine/1.yaml").write_text("{}\n")
    (driver.folder / "conf/mine/2.yaml").write_text(text)
    done = driver.run("--study", "mine", "--study_folds", "0", "--dry_run", dry_run)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {complaint}")
    assert driver.calls() == []


@pytest.mark.parametrize("tag", ["lm", "whisper-zero-shot", "a b", "../x", ".", "/"])
def test_a_tag_is_the_name_of_a_folder_of_its_own(driver, tag):
    done = driver.run("--tag", tag)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --tag")
    assert driver.calls() == []


def test_blanks_name_no_rows_and_no_files(driver):
    study = ["--study", "ablation", "--study_rows", " 1_st ", "--study_folds", " "]
    assert list(trainings(driver(*study))) == ["exp/asterisk/ablation/1_st"]
    assert "exp/asterisk/asterisk_joint" in trainings(
        driver("--override", " ", "--stop_stage", "7")
    )


def test_a_dry_run_of_a_study_prints_its_commands(driver):
    done = driver.run("--study", "ablation", "--study_rows", "1_st 2_mt", "--dry_run", "true")
    assert done.returncode == 0, done.stderr
    assert driver.calls() == []
    assert "comsl.bin.study --study ablation --rows 1_st\\ 2_mt" in done.stdout
    assert "exp/asterisk/ablation/2_mt" in done.stdout
    assert not (driver.folder / "exp/asterisk/report").exists()


def test_an_override_by_itself_is_an_experiment(driver):
    """Its settings count most, but that a frozen encoder stays frozen."""
    (driver.folder / "mine").mkdir()
    (driver.folder / "mine/top.yaml").write_text(
        "run: {silence: 0.25, speed_factors: 0.9 1.1, lm_size: }\n"
        "speech_encoder_conf: {trainable_blocks: 3}\nmax_epoch: 2\n"
    )
    calls = driver("--override", "mine/top.yaml", "--stop_stage", "7")
    (words,) = (words for tool, words in calls if tool == "prepare_speech")
    assert values(words, "--speed_factors") == ["0.9 1.1"]
    trained, folder = trainings(calls), "exp/asterisk/asterisk_joint_mine_top"
    assert list(trained) == [f"{folder}/frozen", folder]
    blocks = [
        [value for value in values(words, "--speech_encoder_conf") if "trainable" in value][-1]
        for words in trained.values()
    ]
    assert blocks == ["trainable_blocks=0", "trainable_blocks=3"]
    for words in trained.values():
        assert "silence=0.25" in values(words, "--speech_encoder_conf")
        assert values(words, "--max_epoch") == ["2"]


def test_strategies_of_the_recipes_own_training(driver):
    """Frozen throughout, from the language model as it was; then as the recipe has it."""
    words = ["--frozen_phase", "all", "--fine_tuned_lm", "false", "--stop_stage", "7"]
    ((folder, options),) = trainings(driver(*words)).items()
    assert folder == "exp/asterisk/asterisk_joint"
    assert values(options, "--config") == ["conf/train_asterisk_frozen.yaml"]
    configs = (ROOT / f"conf/train_asterisk_{name}.yaml" for name in ("frozen", "joint"))
    phases = [yaml.safe_load(config.read_text()) for config in configs]
    assert values(options, "--max_epoch") == [str(sum(phase["max_epoch"] for phase in phases))]
    steps = sum(phase["scheduler_conf"]["total_steps"] for phase in phases)
    assert values(options, "--scheduler_conf") == [f"total_steps={steps}"]
    assert "trainable_blocks=0" in values(options, "--speech_encoder_conf")
    assert values(options, "--language_model") == ["egs2/debian_l10n/mt1/mbart_small"]
    assert values(options, "--teacher") == ["exp/asterisk/lm"]
    frozen, joint = trainings(driver("--stop_stage", "7")).values()
    assert values(frozen, "--language_model") == ["exp/asterisk/lm"]
    (speech,) = (v for v in values(joint, TRAIN_DATA) if "speech" in v)
    assert speech == "dump/asterisk/raw/train/wav.scp,speech,sound"
