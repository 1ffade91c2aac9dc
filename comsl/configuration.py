"""From a training's configuration to its model. ESPnet's training code, which takes longer to
import than all else, isn't needed for that."""

import argparse

from comsl.adapter import Adapter
from comsl.errors import DataError
from comsl.language_model import LanguageModel
from comsl.model import ComSLModel
from comsl.speech_encoder import CachedStates, WhisperEncoder
from comsl.tokenizer import Tokenizer

SPEECH_ENCODERS = {"whisper": WhisperEncoder, "cached": CachedStates}


def build_model(args: argparse.Namespace) -> ComSLModel:
    """The model of a configuration; DataError where its parts do not fit each other."""
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
        adapter = Adapter(width, config.d_model, **args.speech_adapter_conf)
    return ComSLModel(
        language_model,
        tokenizer,
        speech_encoder,
        adapter,
        LanguageModel(args.teacher) if args.teacher else None,
        target_lang=args.target_lang,
        **args.model_conf,
    )
