"""`./run.sh --study`: which trainings a study makes, by the real driver with tools that only leave
their outputs; and what a study can't be, in the process."""

import shlex
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from fake_tools import Driver, trainings, values

from comsl.errors import DataError
from comsl.evaluation import rows, study_run
from comsl.options import read_options


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


def test_a_study_trains_its_rows_on_every_fold_and_compares_them(driver):
    study = ["--study", "ablation", "--study_rows", "4_asr 5_frozen", "--study_folds", "0 1"]
    calls = driver(*study)
    folders = ("4_asr", "5_frozen_frozen", "5_frozen")
    trained = trainings(calls)
    assert list(trained) == [
        f"exp/{recipe}/ablation/{folder}"
        for recipe in ("asterisk", "asterisk_fold1")
        for folder in folders
    ]
    never, frozen, joint = (trained[f"exp/asterisk/ablation/{folder}"] for folder in folders)
    for words in (never, frozen, joint):
        assert values(words, "--config") == ["conf/train_asterisk_study.yaml"]
        built_on = ["1_st", "2_mt", "3_ddm", "4_asr"] + ["5_frozen"] * (words is not never)
        assert values(words, "--override") == [f"conf/ablation/{row}.yaml" for row in built_on]
        assert values(words, "--encoder") == ["dump/asterisk/encoder_below_top_1"]
        assert values(words, "--top_blocks") == ["1"]
    assert values(never, "--further_phase") == ["conf/train_asterisk_study.yaml"]
    assert "trainable_blocks=0" in values(frozen, "--speech_encoder_conf")
    for words in (never, joint):
        assert "trainable_blocks=0" not in values(words, "--speech_encoder_conf")
    adapter, first_phase = ["exp/asterisk/adapter.pth"], ["exp/asterisk/ablation/5_frozen_frozen"]
    starts = [values(words, "--init_param") for words in (never, frozen, joint)]
    assert starts == [adapter, adapter, first_phase]

    prepared = [words for tool, words in calls if tool == "prepare_asterisk"]
    assert [values(words, "--fold") for words in prepared] == [[], ["1"]]
    assert [tool for tool, _ in calls].count("export_lm") == 2  # once a fold
    assert {values(words, "--tasks")[0] for tool, words in calls if tool == "decode"} == {"st"}
    looked = {values(words, "--model")[0]: words for tool, words in calls if tool == "similarity"}
    row = "exp/asterisk_fold1/ablation/{}"
    assert list(looked)[2:] == [row.format("4_asr"), row.format("5_frozen")]
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
    study = ["--study", "ablation", "--study_folds", "0", "--study_rows", "7_cml 8_pseudo"]
    missing = driver.run(*study)
    complaint = "error: there is no set dump/asterisk/raw/untranslated: correct --pseudo_set or"
    assert missing.stderr.startswith(complaint)
    assert not trainings(driver.calls())
    (driver.folder / "dump/asterisk/raw/untranslated").mkdir()
    calls = driver(*study)
    assert [tool for tool, _ in calls].count("translate_text") == 1
    row = "exp/asterisk/ablation/{}".format
    before, pseudo = (trainings(calls)[row(name)] for name in ("7_cml", "8_pseudo"))
    assert values(before, "--train_set") == ["train"]
    assert values(before, "--encoder") == ["dump/asterisk/encoder_below_top_1"]
    assert values(pseudo, "--train_set") == ["train_with_pseudo"]
    assert values(pseudo, "--encoder") == ["dump/asterisk/encoder_with_pseudo_below_top_1"]


def test_a_changed_row_is_trained_again_and_so_are_those_that_build_on_it(driver):
    study = ["--study", "ablation", "--study_folds", "0", "--study_rows", "1_st 3_ddm"]
    driver(*study)
    with (driver.folder / "conf/ablation/2_mt.yaml").open("a") as file:
        file.write("max_epoch: 1\n")
    assert list(trainings(driver(*study))) == ["exp/asterisk/ablation/3_ddm"]


OPTIONS = """
recipe=asterisk
langs=fr
target_lang=en
test_set=test
decode_config=conf/decode.yaml
datadir=data
dumpdir=dump
expdir=exp
data_sh=data.sh
local_data_opts=
tsv=
min_duration=0.1
max_duration=12
max_dropped=0.05
augmented_copies=0
speed_factors=
language_model=mbart
lm_size=
lm_config=
lm_share=1.0
speech_encoder=base
whisper_model=
silence=0.5
pseudo_set=
further_sets=
stage=1
stop_stage=11
skip_stages=
dry_run=true
study=ablation
study_rows=
study_opts=
study_folds=
override=
tag=
compare_with=
"""


def checked(**changes: str) -> None:
    """Check a study with these options, but for what run.sh says of its rows."""
    options = read_options(OPTIONS.strip()) | changes
    study = study_run.Study(options, [], "decode", "./run.sh")
    study_run.check_options(study)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"study": "tables"}, "no study 'tables': choose from ablation lora modality_gap"),
        (
            {"study": "modality_gap", "study_rows": "cml 1_st"},
            "study modality_gap has no row '1_st': "
            "choose from none cml const ctc ctc_0.1 ctc_0.03 mml waco",
        ),
        ({"study_folds": "0,1"}, "--study_folds is '0,1': write numbers, such as \"0 1 2\""),
        ({"study_folds": "01"}, "--study_folds is '01': write numbers"),
        ({"study_folds": "1 0 1"}, "--study_folds names fold 1 twice"),
        ({"override": "conf/modality_gap/waco.yaml"}, "--study sets --override, --tag and"),
        ({"tag": "mine"}, "--study sets --override, --tag and --compare_with itself"),
        ({"stop_stage": "6"}, "--study takes its rows through all stages"),
        ({"study_opts": "--langs es"}, "row 1_st of study ablation changes --langs, which all"),
    ],
)
def test_what_a_study_cannot_be_is_one_line(monkeypatch, changes, complaint):
    monkeypatch.chdir(ROOT)
    with pytest.raises(DataError) as error:
        checked(**changes)
    assert complaint in str(error.value)
    checked(study_folds="0 2", study_rows="4_asr 2_mt", study_opts="--silence 1")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("optim_conf: {betas: [0.9, 0.98]}", "conf/mine/2.yaml: betas is a list"),
        ("run: {silence: 0.25}", "row 2 of study mine changes --silence, which all rows share"),
        ("run: {tag: mine}", "row 2 of study mine changes --tag, which all rows share"),
    ],
)
def test_what_a_row_cannot_be_is_one_line(tmp_path, monkeypatch, text, complaint):
    (tmp_path / "conf/mine").mkdir(parents=True)
    (tmp_path / "conf/mine/1.yaml").write_text("{}\n")
    (tmp_path / "conf/mine/2.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        checked(study="mine")
    assert str(error.value).startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("run: {frozen_phase: sometimes}", "--frozen_phase is none, some or all, not 'sometimes'"),
        ("run: {train_config: conf/no.yaml}", "--train_config: there is no file conf/no.yaml"),
        ("run: {top_blocks: two}", "option --top_blocks wants a whole number, not 'two'"),
        ("run: {blocks: 2}", "unknown option --blocks"),
    ],
)
def test_what_run_sh_refuses_of_a_row_is_said_before_anything_runs(driver, text, complaint):
    (driver.folder / "conf/mine").mkdir()
    (driver.folder / "conf/mine/1.yaml").write_text("{}\n")
    (driver.folder / "conf/mine/2.yaml").write_text(text)
    done = driver.run("--study", "mine", "--study_folds", "0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {complaint}")
    assert driver.calls() == []


def test_an_utterance_in_the_test_sets_of_two_folds_is_found_before_any_trains(driver):
    done = driver.run("--study", "ablation", "--study_rows", "1_st", "--study_folds", "1 9")
    complaint = "error: --study_folds 1 9: utterance 'asterisk_fold1' is in the test sets of two"
    assert done.stderr.splitlines() == [complaint]
    assert not trainings(driver.calls())


@pytest.mark.parametrize("tag", ["lm", "whisper-zero-shot", "a b", "../x", ".", "/"])
def test_a_tag_is_the_name_of_a_folder_of_its_own(driver, tag):
    done = driver.run("--tag", tag)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --tag")
    assert driver.calls() == []


def test_a_dry_run_of_a_study_prints_its_commands(driver):
    done = driver.run("--study", "ablation", "--study_rows", " 1_st 2_mt ", "--dry_run", "true")
    assert done.returncode == 0, done.stderr
    assert driver.calls() == []
    assert "comsl.bin.study --study ablation --rows '1_st 2_mt'" in done.stdout
    assert "exp/asterisk/ablation/2_mt" in done.stdout
    assert not (driver.folder / "exp").exists()


def test_an_override_by_itself_is_an_experiment(driver):
    """Its settings count most, but that a frozen encoder stays frozen."""
    (driver.folder / "mine").mkdir()
    (driver.folder / "mine/top.yaml").write_text(
        "run: {silence: 0.25, speed_factors: 0.9 1.1, lm_size: }\n"
        "speech_encoder_conf: {trainable_blocks: 3}\nmax_epoch: 2\n"
    )
    calls = driver("--override", " mine/top.yaml ", "--stop_stage", "7")
    (words,) = (words for tool, words in calls if tool == "prepare_speech")
    assert values(words, "--speed_factors") == ["0.9 1.1"]
    trained, folder = trainings(calls), "exp/asterisk/asterisk_{}_mine_top"
    assert list(trained) == [folder.format("frozen"), folder.format("joint")]
    for words in trained.values():
        assert "silence=0.25" in values(words, "--speech_encoder_conf")
        assert values(words, "--override") == ["mine/top.yaml"]
    frozen = trained[folder.format("frozen")]
    assert frozen.index("trainable_blocks=0") > frozen.index("mine/top.yaml")


def test_strategies_of_the_recipes_own_training(driver):
    """Frozen throughout, from the language model as it was."""
    words = ["--frozen_phase", "all", "--fine_tuned_lm", "false", "--stop_stage", "7"]
    ((folder, options),) = trainings(driver(*words)).items()
    assert folder == "exp/asterisk/asterisk_joint"
    assert values(options, "--config") == ["conf/train_asterisk_frozen.yaml"]
    assert values(options, "--further_phase") == ["conf/train_asterisk_joint.yaml"]
    assert "trainable_blocks=0" in values(options, "--speech_encoder_conf")
    assert values(options, "--language_model") == ["exp/asterisk/lm_start"]
    assert values(options, "--teacher") == ["exp/asterisk/lm"]


def test_rows_are_in_their_order_and_build_on_those_before(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ("ablation", "modality_gap"):
        names = rows.rows_of(name)
        assert sorted(names) == sorted(path.stem for path in (ROOT / "conf" / name).glob("*.yaml"))
    assert rows.rows_of("modality_gap")[:2] == ["none", "cml"]
    assert [path.stem for path in rows.row_files("ablation", "3_ddm")] == ["1_st", "2_mt", "3_ddm"]
    assert [path.stem for path in rows.row_files("modality_gap", "mml")] == ["mml"]
    assert [rows.above(["none", "cml", "const"], i) for i in range(3)] == [None, "none", "none"]
    assert [rows.above(["1_st", "2_mt", "3_x"], i) for i in range(3)] == [None, "1_st", "2_mt"]
    (tmp_path / "conf/long").mkdir(parents=True)
    for name in ("10_b", "9_a", "none"):
        (tmp_path / f"conf/long/{name}.yaml").write_text(yaml.safe_dump({}))
    monkeypatch.chdir(tmp_path)
    assert rows.rows_of("long") == ["none", "9_a", "10_b"]
