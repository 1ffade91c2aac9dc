"""The command line of a training: what ComSL adds to ESPnet's, written out as ESPnet's options."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from comsl.errors import DataError
from comsl.overrides import espnet_options, read
from comsl.settings_file import read_settings
from comsl.training.updates import LENGTH

OURS = ("--raw", "--train_set", "--encoder", "--teacher_states", "--top_blocks", "--further_phase")
TEXTS = {"text.src": "source_text", "text.tgt": "target_text", "utt2lang": "lang"}
TARGETS = {"utt2target": "target_lang"}


def espnet_words(words: Sequence[str]) -> list[str]:
    """A training's words for ESPnet's parser.

    --override FILE: its settings, on top of what stands before them; may be repeated.
    --raw DIR --train_set NAME: train on that set, validate on `dev` (stage 2).
    --encoder DIR: with speech, its shapes, and its states where the configuration says `cached`;
    --top_blocks N: which those are. --teacher_states DIR: with the teacher's states (stage 5).
    --further_phase CONFIG: train for as many more updates as that training has.
    All else is ESPnet's. DataError: a file of settings that can't be read, a word without a value.
    """
    theirs, ours, overrides = [], {}, []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if word not in (*OURS, "--override"):
            theirs.append(word)
        elif not pending:
            raise DataError(f"option {word} needs a value")
        elif word == "--override":
            overrides.append(Path(pending.pop(0)))
            theirs += espnet_options(overrides[-1])
        else:
            ours[word] = pending.pop(0)
    for word, file in pairwise(theirs):
        if word == "--config":
            theirs += _speech_words(_settings(Path(file), overrides), ours)
            break
    if config := ours.get("--further_phase"):
        theirs += _further_words(Path(config), overrides)
    return theirs + _text_words(ours)


def texts_of(raw: Path) -> dict[str, str]:
    """A set's tables of texts -> what a training calls them."""
    return TEXTS | TARGETS if (raw / "utt2target").is_file() else TEXTS


def _text_words(ours: dict[str, str]) -> list[str]:
    words = []
    for side, name in _sets(ours):
        raw = Path(ours["--raw"], name)
        for file, text in texts_of(raw).items():
            words += _data(side, f"{raw}/{file},{text},text")
        words += [f"--{side}_shape_file", f"{raw}/source_shape"]
        words += [f"--{side}_shape_file", f"{raw}/target_shape"]
        if states := ours.get("--teacher_states"):
            words += _data(side, f"{states}/{name}/feats.scp,teacher,kaldi_ark")
        if states := ours.get("--encoder"):  # the speech's shapes come last
            words += [f"--{side}_shape_file", f"{states}/{name}/speech_shape"]
    return words


def _speech_words(config: dict, ours: dict[str, str]) -> list[str]:
    """Cached states or audio, as the configuration says."""
    if "--encoder" not in ours:
        return []
    cached = config.get("speech_encoder") == "cached"
    words = []
    if cached and "--top_blocks" in ours:
        words += ["--speech_encoder_conf", f"top_blocks={ours['--top_blocks']}"]
    for side, name in _sets(ours):
        states, audio = Path(ours["--encoder"], name), Path(ours["--raw"], name)
        speech = (
            f"{states}/feats.scp,speech,kaldi_ark" if cached else f"{audio}/wav.scp,speech,sound"
        )
        words += _data(side, speech)
    return words


def _sets(ours: dict[str, str]) -> list[tuple[str, str]]:
    return [("train", ours["--train_set"]), ("valid", "dev")] if "--train_set" in ours else []


def _data(side: str, value: str) -> list[str]:
    return [f"--{side}_data_path_and_name_and_type", value]


def _settings(config: Path, overrides: list[Path]) -> dict:
    """Those of a configuration, changed by the files on top of it."""
    settings = read_settings(config)
    for file in overrides:
        settings |= read(file)
    return settings


def _further_words(config: Path, overrides: list[Path]) -> list[str]:
    """What says how long that training would be, for the task (`comsl.training.updates`)."""
    settings = _settings(config, overrides)
    known = {name: settings[name] for name in LENGTH if settings.get(name) is not None}
    return [
        word
        for pair in known.items()
        for word in ("--further_phase_conf", "=".join(map(str, pair)))
    ]
