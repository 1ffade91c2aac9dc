"""From a training's configuration to its model. ESPnet's training code, which takes longer to
import than all else, isn't needed for that."""

import argparse
import inspect
import math
from collections.abc import Callable, Mapping

from comsl.encoders.cached import CachedStates
from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.model.teacher import Teacher
from comsl.tokenizer import Tokenizer

SPEECH_ENCODERS = {"whisper": WhisperEncoder, "cached": CachedStates}


def build_model(args: argparse.Namespace) -> ComSLModel:
    """The model of a configuration; DataError: a setting that a part of it doesn't have, or parts
    that do not fit each other."""
    check_settings("language_model_conf", LanguageModel, args.language_model_conf)
    check_settings("model_conf", Settings, args.model_conf)
    settings = Settings(**args.model_conf)
    tokenizer = Tokenizer(args.language_model)
    language_model = LanguageModel(args.language_model, **args.language_model_conf)
    config = language_model.config
    if len(tokenizer) > config.vocab_size:
        raise DataError(
            f"'{args.language_model}': the tokenizer has {len(tokenizer)} tokens, "
            f"the model {config.vocab_size}"
        )
    speech_encoder = adapter = None
    if args.speech_encoder is not None:
        encoder = SPEECH_ENCODERS[args.speech_encoder]
        check_settings("speech_encoder_conf", encoder, args.speech_encoder_conf)
        check_settings("speech_adapter_conf", Adapter, args.speech_adapter_conf)
        speech_encoder = encoder(**args.speech_encoder_conf)
        width = speech_encoder.output_size()
        adapter = Adapter(width, config.d_model, **args.speech_adapter_conf)
    return ComSLModel(
        language_model,
        tokenizer,
        speech_encoder,
        adapter,
        build_teacher(args, settings),
        settings,
        args.target_lang,
    )


def build_teacher(args: argparse.Namespace, settings: Settings) -> Teacher | None:
    """The frozen language model, or its head where both sets have its states cached; None where
    it teaches nothing."""
    if not args.teacher or "kd_mt" not in settings.coefficients:
        return None
    sets = args.train_data_path_and_name_and_type, args.valid_data_path_and_name_and_type
    cached = all("teacher" in [name for _, name, _ in data] for data in sets)
    return Teacher(LanguageModel(args.teacher), cached, settings.bf16)


def check_settings(name: str, part: Callable, settings: Mapping) -> None:
    """DataError: the option `name` gives a part of the training a setting that it doesn't have, or
    no number for one that is a number."""
    known = inspect.signature(part).parameters
    if unknown := sorted(settings.keys() - known.keys()):
        raise DataError(f"{name}: no setting '{unknown[0]}'")
    for setting, value in settings.items():
        default = known[setting].default
        if isinstance(default, bool) and not isinstance(value, bool):
            raise DataError(f"{name}: {setting} is true or false, not {value!r}")
        if isinstance(default, int | float):
            check_number(f"{name}: {setting}", value)


def check_number(setting: str, value: object) -> None:
    """DataError: it is none, such as what YAML reads as text."""
    if not isinstance(value, int | float) or math.isnan(value):
        hint = "; to YAML 1e-3 is text: write 1.0e-3" if isinstance(value, str) else ""
        raise DataError(f"{setting} is a number, not {value!r}{hint}")
