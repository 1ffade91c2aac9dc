"""ComSL at its published dimensions with random weights, so that nothing is downloaded to measure
what it takes."""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from comsl.dimensions import MBART_50, WHISPER

TOP = Path(__file__).resolve().parent.parent.parent
CONF = TOP / "egs2/covost2/comsl1/conf"
TOKENIZER = TOP / "egs2/debian_l10n/mt1/mbart_small"  # any will do: text is not what matters here
SPEECH_ENCODERS = {"medium": "medium", "large": "large-v2"}


def write_language_model(
    folder: Path, dimensions: Mapping = MBART_50, family: str = "mbart"
) -> None:
    """A model of a family of transformers', mBART-50 if none is named, with random weights, stored
    in half precision as it is published."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    for file in TOKENIZER.glob("tokenizer*"):
        shutil.copy(file, folder)
    config = AutoConfig.for_model(family, **dimensions)
    AutoModelForSeq2SeqLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)


def configuration(
    size: str,
    language_model: Path,
    options: Sequence[str] = (),
    dimensions: Mapping | None = None,
) -> argparse.Namespace:
    """The recipe's joint phase of a size, with the language model of a folder, and options of a
    training on top; dimensions: of another speech encoder than the size's."""
    from comsl.training.task import ComSLTask

    dimensions = dimensions or WHISPER[SPEECH_ENCODERS[size]]
    return ComSLTask.get_parser().parse_args(
        [
            *("--config", str(CONF / f"train_{size}_joint.yaml")),
            *("--language_model", str(language_model), "--teacher", str(language_model)),
            *("--speech_encoder_conf", f"dims={dict(dimensions)}"),
            *options,
        ]
    )
