"""From a training's configuration to its model. ESPnet's training code, which takes longer to
import than all else, isn't needed for that."""

import argparse

from comsl.checks import check_settings
from comsl.encoders.cached import CachedStates
from comsl.encoders.choices import ENCODERS, choose, encoder_class
from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.lora import add_lora, check_lora
from comsl.model.settings import Settings
from comsl.model.teacher import LoraTeacher, Teacher
from comsl.tokenizer import Tokenizer

SPEECH_ENCODERS = ENCODERS | {"cached": CachedStates}


def build_model(args: argparse.Namespace) -> ComSLModel:
    """The model of a configuration; DataError: a setting that a part of it doesn't have, or parts
    that do not fit each other."""
    settings = check_parts(args)
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
        speech_encoder = SPEECH_ENCODERS[args.speech_encoder](**args.speech_encoder_conf)
        width = speech_encoder.output_size()
        rate = speech_encoder.frame_rate
        adapter = Adapter(width, config.d_model, rate, **args.speech_adapter_conf)
    model = ComSLModel(
        language_model,
        tokenizer,
        speech_encoder,
        adapter,
        build_teacher(args, settings, language_model),
        settings,
        args.target_lang,
        **getattr(args, "trained_on", {}),
    )
    if lora := lora_conf(args):
        add_lora(model, lora)
    return model


def lora_conf(args: argparse.Namespace) -> dict[str, dict]:
    """Part -> its settings; of most trainings there are none."""
    return vars(args).get("lora_conf") or {}


def choose_encoder(args: argparse.Namespace) -> None:
    """The kind of encoder, or the width of its cached states, is that of the model which the
    settings name, whatever the configuration was written for. DataError: there is no such model."""
    settings = args.speech_encoder_conf
    model = settings.get("model")
    if args.speech_encoder is None or model is None or "dims" in settings:
        return
    if args.speech_encoder != "cached":
        args.speech_encoder = choose(model)
    elif width := encoder_class(model).published_width(model):
        args.speech_encoder_conf = settings | {"input_size": width}


def check_parts(args: argparse.Namespace) -> Settings:
    """Those of `model_conf`. DataError: a setting that a part of the model doesn't have, or that
    makes no sense."""
    check_settings("language_model_conf", LanguageModel, args.language_model_conf, given=1)
    check_settings("model_conf", Settings, args.model_conf)
    settings = Settings(**args.model_conf)
    if not any(settings.weights[name] for name in ("st", "asr", "mt", "cml")):
        raise DataError(
            "model_conf: w_st, w_asr, w_mt and w_cml are all 0, the decoder would learn nothing"
        )
    check_lora(lora_conf(args))
    if args.speech_encoder is not None:
        encoder = SPEECH_ENCODERS[args.speech_encoder]
        check_settings("speech_encoder_conf", encoder, args.speech_encoder_conf)
        check_settings("speech_adapter_conf", Adapter, args.speech_adapter_conf, given=3)
    return settings


def build_teacher(
    args: argparse.Namespace, settings: Settings, language_model: LanguageModel
) -> Teacher | None:
    """The frozen language model, or its head where both sets have its states cached; None where
    it teaches nothing. The language blocks themselves, where they start from it and LoRA trains."""
    if not args.teacher or "kd_mt" not in settings.coefficients:
        return None
    sets = args.train_data_path_and_name_and_type, args.valid_data_path_and_name_and_type
    cached = all("teacher" in [name for _, name, _ in data] for data in sets)
    if "language_model" in lora_conf(args) and args.teacher == args.language_model:
        return LoraTeacher(language_model, cached)
    return Teacher(LanguageModel(args.teacher), cached, settings.bf16)
