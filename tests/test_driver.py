"""The stage driver, the set-up and the job runner, through the commands that a user types."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent

# Three trivial stages on the real machinery. Every run of a stage leaves a line in `calls`.
DRIVER = r"""#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"

# Options: where and how to run
stage=1          # first stage
stop_stage=3     # last stage
skip_stages=     # stages to leave out
nj=1             # processes
scale=1.0        # a number

# Options: what is made
word=hello       # text of stage 1
my_config=       # a file that stage 2 reads
fail=false       # whether stage 3 fails
# End of options

. local/parse_options.sh
. local/stages.sh
parse_options "$@"
check_range "$stage" "$stop_stage"
exp=exp

# Stage 1: says a word
needs[1]="" makes[1]=exp/one
stage_1() {
  echo "1 $nj" >>calls
  sleep 0.2
  echo "$word" >exp/one
}

# Stage 2: reads a file
needs[2]="1" makes[2]="exp/two"
stage_2() {
  echo 2 >>calls
  cat exp/one "$my_config" >exp/two
}

# Stage 3: trains
needs[3]="1 2?" makes[3]="exp/run/model"
stage_3() {
  echo 3 >>calls
  resume_or_set_aside exp/run
  echo checkpoint >>exp/run/checkpoint
  if $fail; then
    echo "error: utterance x is silent"
    false
  fi
  touch exp/run/model
}

run_stages "$stage" "$stop_stage"
"""


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


class Driver:
    """The driver above in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(TOP / "local", folder / "local", symlinks=True)
        (folder / "run.sh").write_text(DRIVER)
        (folder / "config.yaml").write_text("a: 1\n")
        (folder / "exp").mkdir()

    def __call__(self, *options: object) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls").unlink(missing_ok=True)
        return self.start(*options)

    def start(self, *options: object) -> subprocess.CompletedProcess[str]:
        """The same, beside what runs already."""
        return run("bash", "run.sh", "--my_config", "config.yaml", *options, cwd=self.folder)

    def calls(self) -> list[str]:
        """Stages that the last call ran, in their order."""
        calls = self.folder / "calls"
        return (
            [line.split()[0] for line in calls.read_text().splitlines()] if calls.exists() else []
        )


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


def test_stages_run_in_order_and_only_once(driver: Driver) -> None:
    first = driver()
    assert first.returncode == 0
    assert driver.calls() == ["1", "2", "3"]
    assert "stage 1: says a word" in first.stdout
    assert "stage 1: done in " in first.stdout
    second = driver("--nj", 4)
    assert driver.calls() == []
    assert second.stdout.count("up to date") == 3


def test_a_value_is_judged_by_the_default_not_by_the_value_before_it(driver: Driver) -> None:
    """A recipe's `--skip_stages 3` may be followed by the user's `--skip_stages "2 3"`."""
    done = driver("--skip_stages", 3, "--skip_stages", "2 3", "--scale", 2, "--scale", 0.5)
    assert done.returncode == 0
    assert driver.calls() == ["1"]
    assert "option --nj wants a whole number" in error_line(driver("--nj", 2, "--nj", "two"))
    assert "option --scale wants a number, not 'half'" in error_line(driver("--scale", "half"))
    assert driver("--scale", 1, "--scale", 0.5).returncode == 0


def test_range_of_stages(driver: Driver) -> None:
    driver("--stop_stage", 1)
    assert driver.calls() == ["1"]
    driver("--stage", 2, "--stop_stage", 2)
    assert driver.calls() == ["2"]


def test_skipped_stages(driver: Driver) -> None:
    assert "stage 2: skipped" in driver("--skip_stages", "2 9").stdout
    assert driver.calls() == ["1", "3"]


def test_a_changed_option_redoes_the_stages_it_reaches(driver: Driver) -> None:
    driver()
    driver("--word", "goodbye")
    assert driver.calls() == ["1", "2", "3"]
    assert (driver.folder / "exp/two").read_text() == "goodbye\na: 1\n"


def test_a_changed_file_redoes_the_stages_that_read_it(driver: Driver) -> None:
    driver("--stop_stage", 2)
    (driver.folder / "config.yaml").write_text("a: 2\n")
    driver("--stop_stage", 2)
    assert driver.calls() == ["2"]


def test_a_deleted_output_is_made_again(driver: Driver) -> None:
    driver()
    (driver.folder / "exp/two").unlink()
    driver()
    assert driver.calls() == ["2", "3"]


def test_failure_names_the_log_and_shows_its_end(driver: Driver) -> None:
    failed = driver("--fail", "true")
    assert failed.returncode == 1
    error, last = failed.stderr.splitlines()
    assert error.startswith("error: stage 3 failed after ")
    assert error.endswith(" s, its log exp/logs/stage3.log ends with:")
    assert last.strip() == "error: utterance x is silent"
    assert "utterance x" in (driver.folder / "exp/logs/stage3.log").read_text()


def test_training_resumes_what_broke_off(driver: Driver) -> None:
    driver("--stop_stage", 2)
    driver("--fail", "true")
    driver("--fail", "true")
    assert driver.calls() == ["3"]
    assert (driver.folder / "exp/run/checkpoint").read_text() == "checkpoint\n" * 2


def test_training_does_not_resume_what_began_otherwise(driver: Driver) -> None:
    driver()
    assert "is now exp/run.2" in driver("--word", "goodbye").stdout
    assert (driver.folder / "exp/run/checkpoint").read_text() == "checkpoint\n"
    assert len(list(driver.folder.glob("exp/run.2*/checkpoint"))) == 1


def test_a_missing_file_is_found_before_any_work(driver: Driver) -> None:
    line = error_line(driver("--my_config", "none.yaml"))
    assert line.startswith("error: --my_config: there is no file none.yaml")
    assert driver.calls() == []


def test_two_runs_at_once_share_the_work(driver: Driver) -> None:
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(driver.start, ["--nj"] * 2, [1, 2]))
    assert [done.returncode for done in both] == [0, 0]
    assert driver.calls() == ["1", "2", "3"]


def test_stage_before_its_inputs(driver: Driver) -> None:
    line = error_line(driver("--stage", 2))
    assert line == "error: stage 2 needs exp/one, which stage 1 makes: run with --stage 1 first"
    assert driver.calls() == []


def folders_in(path: Path) -> list[str | Path]:
    """Options that keep a recipe's output there."""
    return ["--datadir", path / "data", "--dumpdir", path / "dump", "--expdir", path / "exp"]


@pytest.mark.parametrize("stage", [2, 3, 5, 6, 7, 8, 9, 10, 11])
def test_every_stage_of_the_recipe_names_what_it_lacks(tmp_path: Path, stage: int) -> None:
    line = error_line(
        run("./run.sh", "--stage", stage, "--stop_stage", stage, *folders_in(tmp_path))
    )
    assert line.startswith(f"error: stage {stage} needs {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_a_range_of_the_recipe_names_what_its_first_stage_lacks(tmp_path: Path) -> None:
    line = error_line(run("./run.sh", "--stage", 3, "--stop_stage", 6, *folders_in(tmp_path)))
    made = tmp_path / "data/asterisk"
    assert line == f"error: stage 3 needs {made}, which stage 1 makes: run with --stage 1 first"
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_not_there_is_found_before_training(tmp_path: Path) -> None:
    for folder in ("data/asterisk", "dump/asterisk/raw/untranslated"):
        (tmp_path / folder).mkdir(parents=True)
    sets = ["--pseudo_set", "untranslated", "--further_sets", "spoken"]
    line = error_line(run("./run.sh", "--stage", 3, *sets, *folders_in(tmp_path)))
    assert line.startswith(f"error: there is no set {tmp_path}/dump/asterisk/raw/spoken: correct")
    assert not (tmp_path / "exp").exists()


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
    assert " 11  the model packed into one file" in done.stdout


def test_help_of_a_recipe_shows_its_settings_from_any_folder(tmp_path: Path) -> None:
    done = run(TOP / "egs2/asterisk/comsl1/run.sh", "--help", cwd=tmp_path)
    assert "[es fr it ru]" in done.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--bogus", "3"], "unknown option --bogus: --help lists the options"),
        (["stage", "3"], "unknown option stage: --help lists the options"),
        (["--PATH", "x"], "unknown option --PATH: --help lists the options"),
        (["--stage"], "option --stage needs a value"),
        (["--stage", "two"], "option --stage wants a whole number, not 'two'"),
        (["--skip_train", "yes"], "option --skip_train wants true or false, not 'yes'"),
        (["--stage", "12"], "there is no stage 12: --help lists the stages"),
        (["--stop_stage", "0"], "there is no stage 0: --help lists the stages"),
        (["--stage", "4", "--stop_stage", "3"], "nothing to do from --stage 4 to --stop_stage 3"),
        (["--langs", " "], 'name the source languages, such as "fr it"'),
        (["--langs", "fr en"], "--langs names 'en' twice, or the language of the translations"),
        (["--langs", "fr fr"], "--langs names 'fr' twice, or the language of the translations"),
        (["--recipe", ""], "digits, points, hyphens and underscores, not ''"),
        (["--recipe", ".."], "digits, points, hyphens and underscores, not '..'"),
        (["--expdir", "my exp"], "is the path of a folder, without spaces, not 'my exp'"),
        (["--expdir", "./data/"], "--datadir, --dumpdir and --expdir are three different folders"),
        (["--study", "tables"], "no study 'tables': choose from ablation modality_gap"),
        (
            ["--study", "modality_gap", "--study_rows", "cml 1_st"],
            "study modality_gap has no row '1_st': choose from none cml const ctc mml waco",
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
        (["--num_threads", 4], "--nodes 1 {} 4 "),
        (["--gpu", 8, "--num_threads", 8, "--num_nodes", 2], "--nodes 2 {} 48 --gpus-per-node 8 "),
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
    assert line == f"sbatch --wait --job-name {name} --output {tmp_path}/log/{log} {asked}"
    number = "$SLURM_ARRAY_TASK_ID" if array else "JOB"
    assert script[-1].strip() == f"decode --langs fr\\ it --job {number}"
    assert not (tmp_path / "log").exists()


def test_slurm_gets_what_espnet_asks_for(tmp_path: Path) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/sh\necho "$@"\ncat\n')
    sbatch.chmod(0o755)
    done = run(
        *(TOP / "local/slurm.pl", "--gpu", 2, "--num_threads", 2, "--num_nodes", 4),
        *(tmp_path / "train.log", "srun", "--export=ALL", "python", "a b"),
        PATH=f"{tmp_path}:{os.environ['PATH']}",
    )
    assert "--nodes 4 --ntasks-per-node 1 --cpus-per-task 2 --gpus-per-node 2" in done.stdout
    assert "--array" not in done.stdout
    assert "srun --export=ALL python a\\ b" in done.stdout


def test_a_dry_run_prints_what_would_be_submitted_and_does_nothing(tmp_path: Path) -> None:
    """Slurm, four machines of eight GPUs, DeepSpeed; no stage before has been run."""
    options = ["--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump", "--dry_run", "true"]
    many = ["--ngpu", 8, "--num_nodes", 4, "--deepspeed_config", "conf/deepspeed/zero2.json"]
    recipe = TOP / "egs2/covost2/comsl1/run.sh"
    done = run(recipe, "--stage", 3, "--stop_stage", 3, *options, *many, cmd_backend="slurm")
    assert done.returncode == 0, done.stderr
    assert "sbatch --wait --job-name lm " in done.stdout
    assert "--nodes 4 --ntasks-per-node 1 --cpus-per-task 48 --gpus-per-node 8" in done.stdout
    (job,) = (line for line in done.stdout.splitlines() if line.startswith("srun --export=ALL "))
    assert "python -m comsl.bin.train --resume true" in job
    assert "--use_deepspeed true --deepspeed_config conf/deepspeed/zero2.json" in job
    assert "--dist_launcher slurm" in job
    assert "python -m comsl.bin.export_lm" in done.stdout
    one = run(recipe, "--stage", 1, "--stop_stage", 1, *options)
    assert "egs2/covost2/comsl1/local/data.sh --out data/covost2" in one.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
