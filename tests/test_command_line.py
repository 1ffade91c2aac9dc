"""A training's command line: what ComSL adds to ESPnet's options, and how long it makes it."""

import argparse
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from comsl.errors import DataError
from comsl.settings_file import read_search, read_settings
from comsl.training.command_line import espnet_words
from comsl.training.scheduler import PolynomialDecayLR
from comsl.training.updates import settle_length

SETS = ["--raw", "raw", "--train_set", "train", "--encoder", "states", "--top_blocks", "1"]
DATA = "--train_data_path_and_name_and_type"


def values(words: list[str], option: str) -> list[str]:
    """All values of an option that may be repeated."""
    return [value for name, value in pairwise(words) if name == option]


def write(path: Path, **settings) -> str:
    path.write_text(yaml.safe_dump(settings))
    return str(path)


@pytest.mark.parametrize(
    ("encoder", "speech", "blocks"),
    [
        ("cached", "states/train/feats.scp,speech,kaldi_ark", ["top_blocks=1"]),
        ("whisper", "raw/train/wav.scp,speech,sound", []),
    ],
)
def test_speech_is_what_the_configuration_says(tmp_path, encoder, speech, blocks):
    config = write(tmp_path / "joint.yaml", speech_encoder=encoder)
    words = espnet_words(["--config", config, *SETS, "--teacher_states", "teacher"])
    assert values(words, DATA) == [
        speech,
        *("raw/train/text.src,source_text,text", "raw/train/text.tgt,target_text,text"),
        *("raw/train/utt2lang,lang,text", "teacher/train/feats.scp,teacher,kaldi_ark"),
    ]
    assert values(words, "--valid_shape_file") == [
        *("raw/dev/source_shape", "raw/dev/target_shape", "states/dev/speech_shape")
    ]
    assert values(words, "--speech_encoder_conf") == blocks
    other = write(tmp_path / "other.yaml", speech_encoder="hubert")
    changed = write(tmp_path / "override.yaml", speech_encoder=encoder)
    words = espnet_words(["--config", other, "--override", changed, *SETS])
    assert values(words, DATA)[0] == speech


def test_overrides_count_where_they_stand(tmp_path):
    row = write(tmp_path / "row.yaml", max_epoch=3, run={"silence": 1}, model_conf={"w_mt": 0})
    words = espnet_words(["--max_epoch", "1", "--override", row, "--model_conf", "w_mt=1"])
    assert words == [
        *("--max_epoch", "1", "--max_epoch", "3"),
        *("--model_conf", "w_mt=0", "--model_conf", "w_mt=1"),
    ]
    with pytest.raises(DataError, match="option --override needs a value"):
        espnet_words(["--override"])


def parsed(*words: str) -> argparse.Namespace:
    """Settled, by ESPnet's own parser."""
    from comsl.training.task import ComSLTask

    args = ComSLTask.get_parser().parse_args(espnet_words(words))
    settle_length(args)
    return args


def shapes(folder: Path, utterances: int) -> list[str]:
    """Of utterances that are alike."""
    for name in ("source_shape", "target_shape", "speech_shape"):
        length = 60 if name == "speech_shape" else 20
        lines = (f"u{number:03d} {length}\n" for number in range(utterances))
        (folder / name).write_text("".join(lines))
    files = (folder / "source_shape", folder / "target_shape", folder / "speech_shape")
    return [word for file in files for word in ("--train_shape_file", str(file))]


def test_a_training_of_both_phases_has_as_many_updates_as_they(tmp_path):
    """The default recipe's: epochs of many small batches and one of 40 make many of 40; the rate
    falls to the end, not to a fifth of it."""
    conf = [str(ROOT / f"conf/train_asterisk_{name}.yaml") for name in ("joint", "frozen")]
    joint, frozen = (read_settings(Path(file)) for file in conf)
    per_batch = frozen["batch_bins"] // 100
    words = shapes(tmp_path, 165 * per_batch)
    args = parsed("--config", conf[0], "--further_phase", conf[1], *words)
    total = frozen["max_epoch"] * 165 + 40
    assert args.max_epoch == -(-total // 40)
    assert args.scheduler_conf["total_steps"] == 40 * args.max_epoch
    assert args.scheduler_conf["warmup_steps"] == joint["scheduler_conf"]["warmup_steps"]
    row = write(tmp_path / "row.yaml", max_epoch=2)  # of each phase
    args = parsed("--config", conf[0], "--override", row, "--further_phase", conf[1], *words)
    assert args.max_epoch == 2 + -(-2 * 165 // 40)


def test_a_schedule_that_is_not_told_ends_with_the_training(tmp_path):
    import torch

    conf = {"warmup_steps": 2}
    length = {"batch_bins": 500, "batch_type": "numel", "max_epoch": 3, "accum_grad": 2}
    config = write(tmp_path / "c.yaml", scheduler="polynomial", scheduler_conf=conf, **length)
    args = parsed("--config", config, *shapes(tmp_path, 60))
    assert args.scheduler_conf == conf | {"total_steps": 3 * 6}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = PolynomialDecayLR(optimizer, **args.scheduler_conf)
    for _ in range(args.scheduler_conf["total_steps"]):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == [pytest.approx(1e-7)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("optim_conf: {lr: .nan}", "optim_conf.lr is nan, not a finite number"),
        ("optim_conf: {betas: [0.9, .inf]}", "optim_conf.betas is inf, not a finite number"),
        ("- 1", "write settings as lines `name: value`"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used(tmp_path, text, complaint):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(DataError, match=complaint):
        read_settings(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "text",
    [
        *("beam: 5", "beam_size: 0", "beam_size: 2.5", "batch_size: true", "length_penalty: long"),
        *("length_penalty: true", "early_stopping: never"),
    ],
)
def test_a_search_that_cannot_be(tmp_path, text):
    (tmp_path / "decode.yaml").write_text(text)
    with pytest.raises(DataError, match=r"decode.yaml: "):
        read_search(tmp_path / "decode.yaml")
