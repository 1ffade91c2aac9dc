"""Whisper's fine-tuning as an ESPnet task: ComSL's data, optimiser and trainer, another model."""

import argparse
from collections.abc import Callable, Collection

from comsl.baselines.whisper_model import WhisperModel
from comsl.baselines.whisper_tokenizer import WhisperTokenizer
from comsl.checks import check_settings
from comsl.downloads import DOWNLOADS
from comsl.encoders.whisper_weights import load_whisper
from comsl.training.preprocessor import ComSLPreprocessor
from comsl.training.task import ComSLTask, add_common_arguments, speech_encoder_choices


class WhisperTask(ComSLTask):
    """`WhisperTask.main()` trains the Whisper that speech_encoder_conf names."""

    @classmethod
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_common_arguments(parser, "Whisper")
        parser.set_defaults(
            required=[*parser.get_default("required"), "speech_encoder"], text_pairs=None
        )

    @classmethod
    def check_model(cls, args: argparse.Namespace) -> set[str]:
        """As ComSLTask."""
        if args.speech_encoder is not None:
            encoder = speech_encoder_choices.get_class(args.speech_encoder)
            check_settings("speech_encoder_conf", encoder, args.speech_encoder_conf)
        check_settings("model_conf", WhisperModel, args.model_conf, given=3)
        return WhisperModel.statistics(**args.model_conf)

    @classmethod
    def components(cls, args: argparse.Namespace) -> list[str]:
        """As ComSLTask."""
        return ["speech_encoder", "decoder"]

    @classmethod
    def build_model(cls, args: argparse.Namespace) -> WhisperModel:
        """The model of a configuration; DataError where it can't be built."""
        settings = args.speech_encoder_conf
        speech_encoder = speech_encoder_choices.get_class(args.speech_encoder)(**settings)
        whisper = load_whisper(settings.get("model", "base"), settings.get("downloads", DOWNLOADS))
        return WhisperModel(speech_encoder, whisper, args.target_lang, **args.model_conf)

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        return ComSLPreprocessor(train, WhisperTokenizer(), args.target_lang)

    @classmethod
    def required_data_names(cls, train: bool = True, inference: bool = False) -> Collection[str]:
        return ("speech", "source_text", "target_text", "lang")

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> Collection[str]:
        return ()
