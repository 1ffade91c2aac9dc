"""The stage driver, the set-up and the job runner, through the commands that a user types."""

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import yaml
from conftest import run_tool
from fake_tools import Driver, trainings

TOP = Path(__file__).parent.parent


def run(*command: object, cwd: Path = TOP, **env: str) -> subprocess.CompletedProcess[str]:
    """The finished command, its output as text; `env` on top of the environment."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The only line on stderr of a command that failed as it should."""
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


@pytest.fixture
def made(everything: Path, tmp_path: Path) -> Driver:
    """A copy of a folder in which all stages have run."""
    shutil.copytree(everything, tmp_path / "made", symlinks=True)
    return Driver(tmp_path / "made")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    assert tools(Driver(folder)()) == ALL
    return folder


ALL = [
    *("prepare_asterisk", "validate_data", "prepare_speech"),
    *("add_languages", "export_adapter", "token_lengths", "train", "interpolate", "export_lm"),
    *("extract_features", "extract_teacher", "train", "train"),
    *("decode", "likelihood", "decode_whisper", "decode", "decode"),
    *("score", "align_words", "similarity", "draw_similarity", "pack"),
]
# of the composite model
USES = ["decode", "likelihood", "score", "similarity", "draw_similarity", "pack"]


def tools(calls: list) -> list[str]:
    return [tool for tool, _ in calls]


def test_a_second_run_makes_nothing(made: Driver) -> None:
    done = made.run("--nj", 4, "--inference_nj", 2, "--langs", "fr_fr")  # FLEURS' name of it
    assert made.calls() == []
    assert "exp/asterisk/asterisk_joint: up to date" in done.stdout
    assert "stage 11: done in " in done.stdout


@pytest.mark.parametrize(
    ("options", "remade"),
    [
        (["--tasks", "st"], ["decode", "likelihood", "score", "pack"]),
        (
            ["--whisper_model", "small"],
            [
                *("decode_whisper", "decode", "score"),
                *("align_words", "similarity", "draw_similarity", "pack"),
            ],
        ),
        (["--compare_with", "exp/asterisk/lm"], ["similarity", "draw_similarity"]),
        (["--fine_tuned_lm", "false"], ["train", "train", *USES]),
        (  # any folder
            ["--text_pairs", "conf"],
            ["prepare_text_pairs", "token_lengths", "train", "train", *USES],
        ),
        (
            ["--silence", "0.25"],
            ["extract_features", "train", "train", *USES],
        ),
        (
            ["--lm_share", "0.5"],  # the training of the language model stays
            [
                *("interpolate", "export_lm", "extract_teacher", "train", "train"),
                *("decode", "likelihood", "decode", "decode"),
                *("score", "similarity", "draw_similarity", "pack"),
            ],
        ),
        (
            ["--max_duration", "11"],
            [tool for tool in ALL if tool not in [*ALL[:2], "add_languages", "export_adapter"]],
        ),
    ],
)
def test_a_setting_remakes_what_depends_on_it_and_nothing_else(
    made: Driver, options: list[str], remade: list[str]
) -> None:
    assert tools(made(*options)) == remade


def test_whisper_is_not_trained_on_the_states_of_another_encoder(driver: Driver) -> None:
    config = "conf/train_asterisk_whisper.yaml"
    change(driver, config, speech_encoder="cached")
    done = driver.run("--whisper_config", config, "--whisper_model", "small")
    assert error_line(done).startswith(f"error: --whisper_model small: {config} trains on cached")


def change(driver: Driver, file: str, **settings: object) -> None:
    """Rewrite a configuration, its comments lost."""
    path = driver.folder / file
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | settings))


def test_only_what_a_configuration_says_counts(made: Driver) -> None:
    """A joint phase of other settings keeps the frozen one, which lies beside it."""
    change(made, "conf/train_asterisk_joint.yaml")
    change(made, "conf/train_asterisk_frozen.yaml")
    assert made() == []
    change(made, "conf/train_asterisk_joint.yaml", max_epoch=2)
    done = made.run("--stop_stage", 6)
    assert list(trainings(made.calls())) == ["exp/asterisk/asterisk_joint"]
    assert (
        "asterisk_joint: train_config changed; what was trained before is now"
        in done.stderr + done.stdout
    )
    change(made, "conf/train_asterisk_frozen.yaml", max_epoch=2)
    trained = trainings(made("--stop_stage", 6))
    assert list(trained) == ["exp/asterisk/asterisk_frozen", "exp/asterisk/asterisk_joint"]
    change(made, "conf/decode.yaml", beam_size=2)
    assert tools(made("--skip_stages", "10 11")) == [
        *("decode", "likelihood", "decode_whisper", "decode", "decode", "score")
    ]


def test_what_lies_beside_the_data_preparation_counts(made: Driver) -> None:
    with (made.folder / "egs2/asterisk/comsl1/local/corrections.tsv").open("a") as file:
        file.write("fr\twrong\tright\n")
    assert tools(made("--stop_stage", 2)) == ["prepare_asterisk", "validate_data", "prepare_speech"]


def test_cached_states_may_go_when_all_is_trained(made: Driver) -> None:
    """As the CoVoST README advises; what has to be trained makes them again, and nothing else."""
    for name in ("encoder", "teacher"):
        shutil.rmtree(made.folder / "dump/asterisk" / name)
    assert made() == []
    change(made, "conf/train_asterisk_joint.yaml", max_epoch=2)
    calls = made("--stop_stage", 6)
    assert tools(calls) == ["extract_features", "extract_teacher", "train"]
    assert list(trainings(calls)) == ["exp/asterisk/asterisk_joint"]


def test_a_training_goes_on_where_it_broke_off(driver: Driver) -> None:
    failed = driver.run("--stop_stage", 3, FAIL="train")
    assert failed.returncode == 1
    error, last = failed.stderr.splitlines()
    assert error.startswith("error: stage 3 failed after ")
    assert error.endswith(" s, its log exp/asterisk/logs/stage3.log ends with:")
    assert last.strip() == "error: utterance x is silent"
    assert "utterance x" in (driver.folder / "exp/asterisk/logs/stage3.log").read_text()
    assert tools(driver("--stop_stage", 3)) == ["train", "interpolate", "export_lm"]
    checkpoint = driver.folder / "exp/asterisk/lm_train/checkpoint.pth"
    assert checkpoint.read_text() == "epoch epoch "
    change(driver, "conf/train_asterisk_lm.yaml", max_epoch=2)
    done = driver.run("--stop_stage", 3)
    assert checkpoint.read_text() == "epoch "
    (aside,) = driver.folder.glob("exp/asterisk/lm_train.2*/checkpoint.pth")
    assert aside.read_text() == "epoch epoch "
    assert f"what was trained before is now exp/asterisk/{aside.parent.name}" in done.stderr


def test_what_is_deleted_is_made_again_the_same(made: Driver) -> None:
    """And what was made of it stays."""
    for name in ("data", "dump", "exp/asterisk/lm", "exp/asterisk/cascade"):
        shutil.rmtree(made.folder / name)
    assert tools(made()) == [
        *("prepare_asterisk", "validate_data", "prepare_speech", "token_lengths", "export_lm"),
        *("extract_features", "extract_teacher", "decode"),
    ]


def test_folders_on_another_disk_stay_there(driver: Driver, tmp_path: Path) -> None:
    for name in ("data/asterisk", "dump/asterisk", "exp/asterisk"):
        disk = tmp_path / "disk" / name
        disk.mkdir(parents=True)
        (driver.folder / name).parent.mkdir()
        (driver.folder / name).symlink_to(disk)
    driver()
    driver("--max_duration", 11, "--local_data_opts", "--limit 3")
    for name, file in {"data": "made", "dump": "raw/train/text.tgt", "exp": "lm/made"}.items():
        assert (driver.folder / name / "asterisk").is_symlink()
        assert (tmp_path / "disk" / name / "asterisk" / file).is_file()


def test_two_runs_at_once_share_the_work(driver: Driver) -> None:
    (driver.folder / "calls").touch()
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(driver.start, ["--nj"] * 2, [1, 2], ["--stop_stage"] * 2, [3] * 2))
    assert [done.returncode for done in both] == [0, 0]
    assert tools(driver.calls()) == ALL[: ALL.index("export_lm") + 1]


def test_stages_that_are_asked_for(made: Driver) -> None:
    done = made.run("--stage", 3, "--stop_stage", 5, "--skip_stages", "3 9", "--skip_train", "true")
    lines = [line for line in done.stdout.splitlines() if line.startswith("stage")]
    assert lines[:2] == ["stage 3: language model: fine-tuning on paired text", "stage 3: skipped"]
    assert [line for line in lines if "skipped" in line] == [f"stage {n}: skipped" for n in (3, 4)]
    assert len(lines) == 6


def test_a_value_is_judged_by_run_shs_own_not_by_the_recipes(driver: Driver) -> None:
    """A recipe's `--skip_stages 3` may be followed by the user's `--skip_stages "2 3"`."""
    stop = ["--stop_stage", "3", "--silence", "2", "--silence", "0.5"]
    done = driver.run("--skip_stages", 3, "--skip_stages", "2 3", *stop)
    assert done.returncode == 0
    assert tools(driver.calls()) == ["prepare_asterisk", "validate_data"]
    assert "option --nj wants a whole number" in error_line(driver.run("--nj", 2, "--nj", "two"))
    line = error_line(driver.run("--silence", "half"))
    assert line == "error: option --silence wants a number, not 'half'"


def test_runs_exclude_each_other_however_they_write_a_path(driver: Driver) -> None:
    """By a lock beside what they share."""
    driver("--stop_stage", 2)
    driver("--stop_stage", 2, "--dumpdir", driver.folder / "dump")
    locks = [path.name for path in (driver.folder / "dump/.locks").iterdir()]
    assert locks == ["asterisk_raw"]


def test_comet_is_asked_for_where_scores_are(driver: Driver) -> None:
    metrics = ["--metrics", "bleu comet"]
    assert driver.run(*metrics, "--stop_stage", 2).returncode == 0
    assert driver.run(*metrics, "--dry_run", "true").returncode == 0
    assert "COMET needs the command" in error_line(driver.run(*metrics))


def test_settings_of_a_recipe_are_options(driver: Driver) -> None:
    (driver.folder / "mine.conf").write_text("# a comment\nsilences=1\n")
    line = error_line(driver.run("--config", "mine.conf"))
    assert line == "error: unknown option --silences: --help lists the options"
    (driver.folder / "mine.conf").write_text("recipe\n")
    line = error_line(driver.run("--config", "mine.conf"))
    assert line == "error: mine.conf: a line is name=value, not 'recipe'"
    (driver.folder / "mine.conf").write_text("recipe=mine\n  langs=fr it \n\n# the end\nsilence=1")
    shown = driver.run("--config", "mine.conf", "--help").stdout.splitlines()
    assert {"  --langs=fr", "  --recipe=mine", "  --silence=1"} <= set(shown)


def test_the_record_says_what_a_thing_was_made_from(made: Driver) -> None:
    record = json.loads((made.folder / "exp/asterisk/asterisk_joint.made.json").read_text())
    assert record["settings"]["silence"] == "0.5"
    assert record["settings"]["train_config"]["path"] == "conf/train_asterisk_joint.yaml"
    assert [source["path"] for source in record["reads"]] == [
        *("exp/asterisk/asterisk_frozen", "dump/asterisk/raw", "exp/asterisk/lm"),
        *("dump/asterisk/encoder", "dump/asterisk/teacher", "exp/asterisk/adapter.pth"),
    ]
    assert record["begun"].startswith("20")


def folders_in(path: Path) -> list[str | Path]:
    """Options that keep a recipe's output there."""
    return ["--datadir", path / "data", "--dumpdir", path / "dump", "--expdir", path / "exp"]


@pytest.mark.parametrize(
    ("stage", "lack"),
    [
        (2, "dump/asterisk/raw needs data/asterisk"),
        (3, "dump/asterisk/raw/train/source_shape needs dump/asterisk/raw"),
        (5, "dump/asterisk/encoder needs dump/asterisk/raw"),
        (6, "exp/asterisk/asterisk_frozen needs dump/asterisk/raw"),
        (7, "exp/asterisk/asterisk_joint/decode needs dump/asterisk/raw"),
        (8, "exp/asterisk/whisper-zero-shot needs dump/asterisk/raw"),
        (9, "exp/asterisk/report/results.json needs dump/asterisk/raw"),
        (10, "exp/asterisk/alignment needs dump/asterisk/raw"),
        (11, "exp/asterisk/asterisk_joint/packed needs exp/asterisk/asterisk_joint"),
    ],
)
def test_every_stage_names_what_it_lacks(driver: Driver, stage: int, lack: str) -> None:
    line = error_line(driver.run("--stage", stage, "--stop_stage", stage))
    then = "is not made yet: begin with an earlier stage, what is made is skipped"
    assert line == f"error: {lack}, which {then}"


def test_a_set_that_is_not_there_is_found_before_training(driver: Driver) -> None:
    driver("--stop_stage", 2)
    (driver.folder / "dump/asterisk/raw/untranslated").mkdir()
    sets = ["--pseudo_set", "untranslated", "--further_sets", "spoken"]
    driver("--stop_stage", 3, *sets)
    called = [line.split("\t") for line in (driver.folder / "calls").read_text().splitlines()]
    tools_called = [tool for tool, *_ in called]
    checked = tools_called.index("check_trainings")
    assert checked < tools_called.index("train")
    words = called[checked][called[checked].index("--raw") :]
    assert words == ["--raw", "dump/asterisk/raw", "--sets", "untranslated spoken"]
    words[1] = str(driver.folder / words[1])
    refused = run_tool("check_trainings", *words, check=False)
    line = f"error: there is no set {words[1]}/spoken: correct --pseudo_set or --further_sets"
    assert refused.stderr.startswith(line)
    refused = run_tool("check_trainings", *words[:2], "--text_pairs", "no_pairs", check=False)
    assert refused.stderr.startswith("error: no_pairs: no such directory")


def test_a_recipe_of_text_alone_stops_where_it_is_told(tmp_path: Path) -> None:
    """`--stop_stage 1` of the language model's recipe must not go on to hours of training."""
    recipe = [TOP / "egs2/debian_l10n/mt1/run.sh", "--expdir", tmp_path]
    done = run(*recipe, "--stage", 2, "--stop_stage", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "stage 2: skipped"
    line = error_line(run(*recipe, "--stage", 5))
    assert line == "error: nothing to do from --stage 5 to --stop_stage 3"


def test_help_lists_options_and_stages() -> None:
    done = run("./run.sh", "--help")
    assert done.returncode == 0
    assert "--stop_stage" in done.stdout
    assert " 11  the model packed, with its card" in done.stdout


def test_help_of_a_recipe_shows_its_settings_from_any_folder(tmp_path: Path) -> None:
    done = run(TOP / "egs2/asterisk/comsl1/run.sh", "--help", cwd=tmp_path)
    assert "  --langs=es fr it ru" in done.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--bogus", "3"], "unknown option --bogus: --help lists the options"),
        (["--stop_stage", "12"], "stage 12 needs --hf_repo, where it puts the model: name/model"),
        (["stage", "3"], "unknown option stage: --help lists the options"),
        (["--PATH", "x"], "unknown option --PATH: --help lists the options"),
        (["--stage"], "option --stage needs a value"),
        (["--stage", "two"], "option --stage wants a whole number, not 'two'"),
        (["--skip_train", "yes"], "option --skip_train wants true or false, not 'yes'"),
        (["--stage", "13"], "there is no stage 13: --help lists the stages"),
        (["--stop_stage", "0"], "there is no stage 0: --help lists the stages"),
        (["--stage", "4", "--stop_stage", "3"], "nothing to do from --stage 4 to --stop_stage 3"),
        (["--langs", " "], 'name the source languages, such as "fr it"'),
        (["--langs", "fr en"], "--langs names 'en', the language of the translations"),
        (["--langs", "fr fr"], "--langs names 'fr' twice"),
        (["--study_rows", "1_st"], "--study_rows: of which study? Name it by --study"),
        (["--stage=3"], "option --stage=3: write --stage 3"),
        (["--min_duration", "20"], "--min_duration is less than --max_duration, please"),
        (["--skip_stages", "4,8"], "there is no '4,8'; known are: 1 2 3 4 5 6 7 8 9 10 11 12"),
        (["--tasks", "st mt2"], "--tasks: there is no 'mt2'; known are: st asr mt"),
        (["--lm_share", "1.5"], "--lm_share 1.5: a share is from 0 to 1"),
        (["--lm_config", ""], "--lm_config is empty: the recipe has to set it, see egs2/README.md"),
        (["--recipe", ""], "digits, points, hyphens and underscores, not ''"),
        (["--recipe", ".."], "digits, points, hyphens and underscores, not '..'"),
        (["--expdir", "my exp"], "is the path of a folder, without spaces, not 'my exp'"),
        (["--expdir", "./data/"], "--datadir, --dumpdir and --expdir are three different folders"),
        (["--whisper_model", "a.pt"], f"there is no a.pt (paths are relative to {TOP})"),
        (["--compare_with", "exp/a"], f"there is no exp/a (paths are relative to {TOP})"),
        (["--study", "tables"], "no study 'tables': choose from ablation lora modality_gap"),
        (
            ["--study", "modality_gap", "--study_rows", "cml 1_st"],
            "study modality_gap has no row '1_st': "
            "choose from none cml const ctc ctc_0.1 ctc_0.03 mml waco",
        ),
        (
            ["--study", "ablation", "--study_folds", "0,1"],
            "--study_folds is '0,1': write numbers, such as \"0 1 2\"",
        ),
    ],
)
def test_bad_options(options: list[str], complaint: str) -> None:
    assert error_line(run("./run.sh", *options)).endswith(complaint)


@pytest.fixture
def bare_clone(tmp_path: Path) -> Path:
    """What set-up needs, without an environment."""
    (tmp_path / "local").mkdir()
    for file in ("path.sh", "requirements.txt", "local/setup.sh"):
        shutil.copy(TOP / file, tmp_path / file)
    return tmp_path


def set_up(clone: Path, **scripts: str) -> subprocess.CompletedProcess[str]:
    """path.sh with a PATH of what it needs, these one-line shell scripts, and no Python else."""
    commands = clone / "bin"
    commands.mkdir()
    for name in ("bash", "sh", "dirname", "cat", "sha256sum", "flock", "rm", "df", "awk"):
        (commands / name).symlink_to(str(shutil.which(name)))
    for name, script in scripts.items():
        (commands / name).unlink(missing_ok=True)
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    return run("bash", "-c", ". ./path.sh", cwd=clone, PATH=str(commands), PYENV_ROOT=str(clone))


def test_no_interpreter(bare_clone: Path) -> None:
    line = error_line(set_up(bare_clone, python3="exit 1"))
    assert line.startswith("set-up: error: found no Python 3.12 or 3.13: install one")
    assert not (bare_clone / ".venv").exists()


def test_full_disk(bare_clone: Path) -> None:
    df = "echo; echo disk 9999999 1 2097152 99% /"
    line = error_line(set_up(bare_clone, python3="exit 0", df=df))
    assert line.startswith("set-up: error: 2 GB free")


def test_interpreter_that_only_pyenv_holds(bare_clone: Path) -> None:
    python = bare_clone / "versions/3.13.0/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho called $0 $* >&2; [ $1 = -c ] || [ $1 = --version ]\n")
    python.chmod(0o755)
    done = set_up(bare_clone, df="echo; echo disk 99999999 1 99999999 1% /")
    assert done.returncode == 1
    assert f"called {python} -m venv" in done.stderr


def test_job_runner_fails_where_one_job_fails(tmp_path: Path) -> None:
    log = tmp_path / "log/job.JOB.log"
    runner = TOP / "local/run.pl"
    assert run(runner, "--gpu", 0, "JOB=1:3", log, "echo", "part JOB").returncode == 0
    assert (tmp_path / "log/job.2.log").read_text() == "part 2\n"
    assert run(runner, "JOB=1:3", log, "test", "JOB", "-ne", 2).returncode == 1
    alone = run(runner, tmp_path / "JOB.log", "echo", "a JOB")  # no number to be put there
    assert (alone.stdout, (tmp_path / "JOB.log").read_text()) == ("a JOB\n", "a JOB\n")
    assert run(runner, tmp_path / "alone.log", "false").returncode == 1


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--gpu", 1, "JOB=1:8"], "--nodes 1 {} 6 --gpus-per-node 1 --array 1-8 "),
        (["--gpu", 0, "JOB=1:8"], "--nodes 1 {} 1 --array 1-8 "),
        (["--gpu", 8, "--num_nodes", 2], "--nodes 2 {} 48 --gpus-per-node 8 "),
    ],
)
def test_slurm_is_asked_for_what_the_jobs_use(tmp_path: Path, options: list, asked: str) -> None:
    """Each job of an array its own GPU, if any, and the cores of those that read its data."""
    jobs = [TOP / "local/slurm.pl", "--cpus_per_gpu", 6, "--dry_run", *options]
    done = run(*jobs, tmp_path / "log/decode.JOB.log", "decode", "--langs", "fr it", "--job", "JOB")
    assert done.stderr == ""
    line, *script = done.stdout.splitlines()
    array = "JOB=1:8" in options
    name, log = ("decode", "decode.%a.log") if array else ("decode.JOB", "decode.JOB.log")
    asked = asked.format("--ntasks-per-node 1 --cpus-per-task")
    assert line == f"{SUBMIT} {name} --output {tmp_path}/log/{log} {asked}"
    number = "$SLURM_ARRAY_TASK_ID" if array else "JOB"
    assert script[-1].strip() == f"decode --langs fr\\ it --job {number}"
    assert not (tmp_path / "log").exists()


SUBMIT = "sbatch --parsable --wait --job-name"
SBATCH = """#!/bin/sh
cat >script
echo "12;main"
echo "submitted $*" >>queue
while [ ! -e cancelled ]; do sleep 0.05; done
exit 1
"""
SCANCEL = """#!/bin/sh
echo "scancel $*" >>queue
touch cancelled
"""


def is_running(pid: str) -> bool:
    """And not merely waiting to be buried."""
    try:
        return Path("/proc", pid, "stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("backend", ["local", "slurm"])
@pytest.mark.parametrize("ctrl_c", [True, False])
def test_jobs_end_with_the_run(made: Driver, backend: str, ctrl_c: bool) -> None:
    """By Ctrl-C, which all processes on the terminal hear, or a signal to run.sh alone."""
    for name, script in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (made.folder / "bin" / name).write_text(script)
        (made.folder / "bin" / name).chmod(0o755)
    options = ["--stage", "5", "--stop_stage", "5", "--silence", "0.25", "--inference_nj", "2"]
    run = subprocess.Popen(
        ["./run.sh", "--langs", "fr", *options],
        cwd=made.folder,
        env=os.environ | {"cmd_backend": backend, "WAIT": "extract_features"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    )
    begun = made.folder / ("waiting" if backend == "local" else "queue")
    while not begun.exists() or begun.read_text().count("\n") < 1 + (backend == "local"):
        assert run.poll() is None
        time.sleep(0.05)
    if ctrl_c:
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.terminate()
    assert "error: stage 5 failed after" in run.communicate(timeout=60)[1]
    assert run.returncode
    if backend == "slurm":
        submitted, cancelled = begun.read_text().splitlines()
        assert submitted.startswith("submitted --parsable --wait --job-name features ")
        assert cancelled == "scancel 12"
    else:
        deadline = time.monotonic() + 30  # before they would end by themselves
        while any(is_running(pid) for pid in begun.read_text().split()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_dry_run_prints_what_would_be_submitted_and_does_nothing(tmp_path: Path) -> None:
    """Slurm, two machines of eight GPUs, DeepSpeed; no stage before has been run."""
    options = ["--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump", "--dry_run", "true"]
    many = ["--ngpu", 8, "--num_nodes", 2, "--deepspeed_config", "conf/deepspeed/zero2.json"]
    many += ["--inference_nj", 16]
    recipe = TOP / "egs2/covost2/comsl1/run.sh"
    done = run(recipe, "--stage", 3, "--stop_stage", 5, *options, *many, cmd_backend="slurm")
    assert done.returncode == 0, done.stderr
    assert f"{SUBMIT} lm " in done.stdout
    assert "--nodes 2 --ntasks-per-node 1 --cpus-per-task 48 --gpus-per-node 8" in done.stdout
    (job,) = (line for line in done.stdout.splitlines() if line.startswith("srun --export=ALL "))
    assert "python -m comsl.bin.train --resume true" in job
    assert "--use_deepspeed true --deepspeed_config conf/deepspeed/zero2.json" in job
    assert "--dist_launcher slurm" in job
    assert "python -m comsl.bin.export_lm" in done.stdout
    shared = done.stdout[done.stdout.index(f"{SUBMIT} features") :].splitlines()
    assert shared[0].endswith("--cpus-per-task 6 --gpus-per-node 1 --array 1-16 ")
    assert "--ngpu 1 --job $SLURM_ARRAY_TASK_ID --num_jobs 16" in shared[3]
    assert shared[4].startswith("python -m comsl.bin.join_parts")  # here, without a GPU
    one = run(recipe, "--stage", 1, "--stop_stage", 1, *options)
    assert "egs2/covost2/comsl1/local/data.sh --out data/covost2" in one.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
