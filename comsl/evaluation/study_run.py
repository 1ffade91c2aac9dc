"""Running a study: every row on every fold of the corpus by run.sh, then the table."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comsl.corpora.kaldi import read_table
from comsl.corpora.sets import check_further_sets
from comsl.errors import DataError
from comsl.evaluation.rows import above, choose_rows, row_files
from comsl.options import Options
from comsl.overrides import espnet_options, run_options

# What rows and their further options can't change: by these the table finds its rows,
TABLE = (
    *("datadir", "dumpdir", "expdir", "recipe", "langs", "target_lang", "test_set"),
    *("decode_config", "stage", "stop_stage", "dry_run"),
    *("study", "override", "tag", "compare_with"),
)
# and these make what all rows share, which a row alone can't change.
SHARED = (
    *("data_sh", "local_data_opts", "tsv", "min_duration", "max_duration", "max_dropped"),
    *("augmented_copies", "speed_factors", "language_model", "lm_size", "lm_config", "lm_share"),
    *("speech_encoder", "whisper_model", "silence"),
)


@dataclass(frozen=True)
class Study:
    """options: all of run.sh's; words: those that the user gave; decode: name of an experiment's
    folder of translations; command: what the user typed."""

    options: Options
    words: Sequence[str]
    decode: str
    command: str

    @property
    def name(self) -> str:
        """Its folder in conf/."""
        return self.options["study"]

    @property
    def test_set(self) -> str:
        """The set that rows are compared by, the first of those that are decoded."""
        return self.options["test_set"].split()[0]

    @property
    def rows(self) -> list[str]:
        """Those that were asked for. DataError: there is no such row or study."""
        return choose_rows(self.name, self.options["study_rows"])

    @property
    def folds(self) -> list[int]:
        """Numbers of the splits. DataError: they are none, or one is named twice."""
        words = self.options["study_folds"].split() or ["0"]
        if any(not re.fullmatch(r"0|[1-9]\d*", word) for word in words):
            text = " ".join(words)
            raise DataError(f"--study_folds is '{text}': write numbers, such as \"0 1 2\"")
        if twice := [word for word in words if words.count(word) > 1]:
            raise DataError(f"--study_folds names fold {twice[0]} twice")
        return [int(word) for word in words]

    def recipe(self, fold: int) -> str:
        """A fold's recipe, which names its folders."""
        return self.options["recipe"] + (f"_fold{fold}" if fold else "")

    def raw(self, fold: int) -> Path:
        """A fold's sets (stage 2)."""
        return Path(self.options["dumpdir"], self.recipe(fold), "raw")

    def experiments(self, fold: int) -> Path:
        """The folder with a fold's experiment a row."""
        return Path(self.options["expdir"], self.recipe(fold), self.name)

    def row_command(self, fold: int, row: str, *further: str) -> list[str]:
        """run.sh for a row on a fold: the last of two values counts."""
        split = []
        if fold:
            data_opts = f"{self.options['local_data_opts']} --fold {fold}"
            split = ["--recipe", self.recipe(fold), "--local_data_opts", data_opts]
        files = " ".join(map(str, row_files(self.name, row)))
        return [
            *("./run.sh", *self.words, "--study", "", "--study_rows", "", "--tasks", "st"),
            *(*shlex.split(self.options["study_opts"]), *split),
            *("--skip_stages", f"{self.options['skip_stages']} 8 9"),
            *("--override", files, "--tag", f"{self.name}/{row}", *further),
        ]

    def row_options(self, row: str) -> Options:
        """What a row's options and files make of the study's. DataError: what they can't change."""
        words = shlex.split(self.options["study_opts"])
        common = self.options | dict(_pairs(words))
        self._refuse_changes(row, self.options, common, TABLE)
        own = common.copy()
        for file in row_files(self.name, row):
            espnet_options(file)  # is to be read in time
            own |= run_options(file)
        self._refuse_changes(row, common, own, TABLE + SHARED)
        return own

    def _refuse_changes(
        self, row: str, before: Options, after: Options, names: Sequence[str]
    ) -> None:
        for name in names:
            if before[name] != after[name]:
                raise DataError(
                    f"row {row} of study {self.name} changes --{name}, which all rows share: give"
                    " it to run.sh itself"
                )


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """`--name value` words as names and values."""
    pairs = zip(words[::2], words[1::2], strict=False)
    return ((name.removeprefix("--"), value) for name, value in pairs)


def run(study: Study) -> None:
    """Check it, make the data of all folds, train and decode the rows, write the table. DataError:
    what it can't be, before any row trains. SystemExit: run.sh has failed, and said why."""
    check(study)
    rows, dry = study.rows, study.options["dry_run"] == "true"
    if not dry:
        prepare(study)
    for fold in study.folds:
        for index, row in enumerate(rows):
            print(f"study {study.name}: row {row} of {study.recipe(fold)}", flush=True)
            other = above(rows, index)
            beside = ["--compare_with", str(study.experiments(fold) / other)] if other else []
            _call(study.row_command(fold, row, "--stop_stage", "10", *beside))
    table = table_command(study)
    print(shlex.join(table)) if dry else _call(table)


def check(study: Study) -> None:
    """DataError as `check_options`. SystemExit: run.sh refuses a row's options."""
    check_options(study)
    for row in study.rows:
        dry_run = study.row_command(0, row, "--dry_run", "true", "--stop_stage", "1")
        _call(dry_run, stdout=subprocess.DEVNULL)


def check_options(study: Study) -> None:
    """DataError: options that a study sets itself, rows or folds that there aren't, a row that
    changes what all share."""
    options, rows, _ = study.options, study.rows, study.folds
    if options["override"] or options["tag"] or options["compare_with"]:
        raise DataError("--study sets --override, --tag and --compare_with itself, row by row")
    if (options["stage"], options["stop_stage"]) != ("1", "11"):
        raise DataError("--study takes its rows through all stages: --skip_stages leaves some out")
    for row in rows:
        study.row_options(row)


def prepare(study: Study) -> None:
    """Data and language model of all folds, before any row trains: what is wrong with the last of
    them would else be found hours later. DataError: a row's set that there isn't, an utterance in
    the test sets of two folds."""
    seen: set[str] = set()
    for fold in study.folds:
        print(f"study {study.name}: data of {study.recipe(fold)}", flush=True)
        _call(study.row_command(fold, study.rows[0], "--stop_stage", "3"))
        for row in study.rows:
            options = study.row_options(row)
            further = f"{options['pseudo_set']} {options['further_sets']}"
            check_further_sets(study.raw(fold), further, options["target_lang"])
        for lang in study.options["langs"].split():
            name = f"{study.test_set}_{lang}"
            utterances = read_table(study.raw(fold) / name / "text.tgt").keys()
            if repeated := sorted(utterances & seen):
                folds = study.options["study_folds"]
                raise DataError(
                    f"--study_folds {folds}: utterance '{repeated[0]}' is in the test sets of two"
                )
            seen |= utterances


def table_command(study: Study) -> list[str]:
    """What compares the rows."""
    options = study.options
    folds = [
        word
        for fold in study.folds
        for word in ("--fold", str(study.raw(fold)), str(study.experiments(fold)))
    ]
    report = Path(options["expdir"], options["recipe"], "report", study.name)
    return [
        *("python", "-m", "comsl.bin.study", "--study", study.name),
        *("--rows", " ".join(study.rows), *folds, "--recipe", options["recipe"]),
        *("--set", study.test_set, "--langs", options["langs"]),
        *("--target_lang", options["target_lang"], "--decode", study.decode),
        *("--out", str(report), "--command", study.command),
    ]


def _call(command: list[str], **streams: int) -> None:
    """Run a command to its end; whatever ends this process ends the command too."""
    with subprocess.Popen(command, **streams) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
    if status:
        sys.exit(status)
