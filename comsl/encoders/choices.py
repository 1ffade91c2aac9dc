"""Which speech encoders there are: a new one is a file beside this and a line here."""

from comsl.encoders.base import SpeechEncoder
from comsl.encoders.wav2vec2 import Wav2Vec2Encoder
from comsl.encoders.wav2vec2_bert import Wav2Vec2BertEncoder
from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError

ENCODERS: dict[str, type[SpeechEncoder]] = {
    "whisper": WhisperEncoder,
    "wav2vec2": Wav2Vec2Encoder,
    "wav2vec2_bert": Wav2Vec2BertEncoder,
}


def choose(model: str) -> str:
    """The name in ENCODERS of the encoder that `model` is of. DataError: it is of none."""
    for name, encoder in ENCODERS.items():
        if encoder.knows(model):
            return name
    known = " ".join(name for encoder in ENCODERS.values() for name in encoder.published())
    raise DataError(
        f"no speech encoder '{model}': neither a checkpoint file, nor a folder or hub id of such a"
        f" model, nor one of: {known}"
    )


def encoder_class(model: str) -> type[SpeechEncoder]:
    """The class of `model`. DataError as `choose`."""
    return ENCODERS[choose(model)]


def name_of(encoder: SpeechEncoder) -> str:
    """Its name in ENCODERS."""
    return next(name for name, kind in ENCODERS.items() if type(encoder) is kind)
