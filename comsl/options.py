"""Options of run.sh: lines `name=value`, and checks of what one option alone can't tell."""

import os
import re
from pathlib import Path

from comsl.dimensions import WHISPER
from comsl.errors import DataError
from comsl.settings_file import read_search, read_settings

STAGES = range(1, 13)
FOLDERS = ("datadir", "dumpdir", "expdir")
NAMES = ("recipe", "tag", "test_set", "speech_encoder", "whisper_model", "decode_config")
FILES = ("data_sh", "lm_size", "deepspeed_config", "published", "decode_config")
CONFIGS = ("lm_config", "frozen_config", "train_config", "whisper_config")
COUNTS = ("num_nodes", "inference_nj", "nj")
SHARES = ("lm_share", "max_dropped")
WORDS = {  # options of several words -> those that there are
    "skip_stages": [str(stage) for stage in STAGES],
    "tasks": ["st", "asr", "mt"],
    "metrics": ["bleu", "chrf", "comet"],
}
TAKEN = (  # folders of a recipe that are no experiments
    r"lm|lm_start|lm_train|whisper_train|logs|report|alignment|cascade|mt-true-transcript"
    r"|whisper-[a-z-]*"
)

Options = dict[str, str]


def read_options(lines: str) -> Options:
    """Name -> value."""
    return dict(line.split("=", 1) for line in lines.splitlines())


def check(options: Options) -> None:
    """DataError: names that would put one thing in another's place, languages that make no sense,
    stages and files that there aren't."""
    _check_names(options)
    _check_langs(options["langs"].split(), options["target_lang"])
    if options["whisper_config"] and options["target_lang"].split()[1:]:
        raise DataError(
            f"--whisper_config: Whisper learns to translate into one language, not into"
            f" '{options['target_lang']}': leave it out"
        )
    if options["study_rows"] and not options["study"]:
        raise DataError("--study_rows: of which study? Name it by --study")
    _check_stages(int(options["stage"]), int(options["stop_stage"]))
    _check_needed(options)
    check_experiment(options)
    for name, known in WORDS.items():
        if unknown := [word for word in options[name].split() if word not in known]:
            raise DataError(f"--{name}: there is no '{unknown[0]}'; known are: {' '.join(known)}")
    if float(options["min_duration"]) >= float(options["max_duration"]):
        raise DataError("--min_duration is less than --max_duration, please")
    for name in SHARES:
        if not 0 <= float(options[name]) <= 1:
            raise DataError(f"--{name} {options[name]}: a share is from 0 to 1")
    for name in COUNTS:
        if int(options[name]) < 1:
            raise DataError(f"--{name} {options[name]}: at least one, please")
    if int(options["num_nodes"]) > 1 and options["ngpu"] == "0":
        raise DataError(f"--num_nodes {options['num_nodes']}: say by --ngpu how many GPUs each has")
    for name in FILES:
        _check_file(name, options[name])
    if options["dry_run"] == "false":  # else what came before wasn't made
        _check_there("compare_with", options["compare_with"])
    if int(options["stop_stage"]) == 12 and not options["hf_repo"]:
        raise DataError("stage 12 needs --hf_repo, where it puts the model: name/model")
    read_search(Path(options["decode_config"]))


def check_experiment(options: Options) -> None:
    """The same of what an override file may set too."""
    phase, tag = options["frozen_phase"], options["tag"]
    if phase not in ("none", "some", "all"):
        raise DataError(f"--frozen_phase is none, some or all, not '{phase}'")
    if not re.fullmatch(r"(\w[\w./-]*)?", tag, re.ASCII) or ".." in tag:
        raise DataError(
            f"--tag names a folder: letters, digits, points, hyphens and underscores, not '{tag}'"
        )
    if re.fullmatch(TAKEN, tag):
        raise DataError(
            f"--tag: the recipe has a folder '{tag}' already, which is not an experiment"
        )
    for name in CONFIGS:
        _check_file(name, options[name])
        if options[name]:
            read_settings(Path(options[name]))
    _check_whisper(options)


def _check_whisper(options: Options) -> None:
    """DataError: the baselines' isn't one, or would be trained on the states of another speech
    encoder."""
    config, model = options["whisper_config"], options["whisper_model"]
    name = model or options["speech_encoder"]
    if name.removesuffix(".en") not in WHISPER and Path(name).suffix not in (".pt", ".ct2"):
        raise DataError(
            f"--{'whisper_model' if model else 'speech_encoder'}: '{name}' is no Whisper of"
            f" openai-whisper's, and baselines and word alignment need one: name one by"
            f" --whisper_model: {' '.join(WHISPER)}"
        )
    if Path(model).suffix in (".pt", ".ct2"):
        _check_there("whisper_model", model)
    if not config or model in ("", options["speech_encoder"]):
        return
    if read_settings(Path(config)).get("speech_encoder") == "cached":
        raise DataError(
            f"--whisper_model {model}: {config} trains on cached states, which are those of"
            f" {options['speech_encoder']}: its speech_encoder must be whisper"
        )


def runs(options: Options, stage: int) -> bool:
    """Whether that stage is to be run."""
    wanted = range(int(options["stage"]), int(options["stop_stage"]) + 1)
    return stage in wanted and str(stage) not in options["skip_stages"].split()


def check_machine(options: Options) -> None:
    """DataError: jobs can't run on this machine, which is alone or has fewer GPUs."""
    nodes = options["num_nodes"]
    if int(nodes) > 1:
        raise DataError(
            f"--num_nodes {nodes} needs a queue of machines, such as cmd_backend=slurm: see cmd.sh"
        )
    check_gpus(int(options["ngpu"]))


def check_gpus(number: int) -> None:
    """DataError: this machine has fewer."""
    if not number:
        return
    import torch

    if (there := torch.cuda.device_count()) < number:
        raise DataError(f"--ngpu {number}: there are {there} GPUs here; --ngpu 0 runs on the CPU")


def _check_names(options: Options) -> None:
    if not re.fullmatch(r"\w[\w.-]*", options["recipe"], re.ASCII):
        raise DataError(
            "--recipe names folders: letters, digits, points, hyphens and underscores, not"
            f" '{options['recipe']}'"
        )
    for name in (*FOLDERS, *NAMES):
        if "JOB" in options[name]:
            raise DataError(f"--{name} {options[name]}: JOB in it would become a job's number")
    if not options["test_set"].split():
        raise DataError("--test_set is empty: name a set to decode and score")
    for name in FOLDERS:
        if not options[name] or options[name].split() != [options[name]]:
            raise DataError(
                f"--{name} is the path of a folder, without spaces, not '{options[name]}'"
            )
    if len({os.path.realpath(options[name]) for name in FOLDERS}) < len(FOLDERS):
        raise DataError("--datadir, --dumpdir and --expdir are three different folders")


def _check_needed(options: Options) -> None:
    """DataError: a recipe lacks what its stages can't do without."""
    needed = ["data_sh", "lm_config"]
    if options["text_only"] == "false":
        needed += ["frozen_config", "train_config"]
    if not options["lm_size"]:
        needed.append("language_model")
    if lacking := [name for name in needed if not options[name]]:
        raise DataError(f"--{lacking[0]} is empty: the recipe has to set it, see egs2/README.md")


def _check_langs(langs: list[str], target_lang: str) -> None:
    if not langs:
        raise DataError('--langs is empty: name the source languages, such as "fr it"')
    for number, lang in enumerate(langs):
        if lang in langs[:number]:
            raise DataError(f"--langs names '{lang}' twice")
        if lang == target_lang:
            raise DataError(f"--langs names '{lang}', the language of the translations")


def _check_stages(first: int, last: int) -> None:
    for stage in (first, last):
        if stage not in STAGES:
            raise DataError(f"there is no stage {stage}: --help lists the stages")
    if first > last:
        raise DataError(f"nothing to do from --stage {first} to --stop_stage {last}")


def _check_file(name: str, path: str) -> None:
    if path and not Path(path).is_file():
        raise DataError(f"--{name}: there is no file {path} (paths are relative to {Path.cwd()})")


def _check_there(name: str, path: str) -> None:
    if path and not Path(path).exists():
        raise DataError(f"--{name}: there is no {path} (paths are relative to {Path.cwd()})")
