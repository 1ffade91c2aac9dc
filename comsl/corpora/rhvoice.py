"""RHVoice: parametric voices for Russian, twenty times as fast as speech on one core.

Its library has to be built: `pip install rhvoice-wrapper rhvoice-wrapper-bin` does, or
RHVOICELIBPATH and RHVOICEDATAPATH name a library and data that are there already.
"""

import numpy as np
import soxr

from comsl.corpora.samples import RATE
from comsl.corpora.spoken import Engine
from comsl.errors import DataError

SAMPLE_RATE = 24000
# Those that may be used for anything: LGPL 2.1 or later, `elena` GPL 3.
VOICES = {"ru": ("aleksandr", "anna", "elena", "irina")}


class RHVoice(Engine):
    """Close it: until then its thread keeps the process alive."""

    name = "rhvoice"

    def __init__(self):
        try:
            from rhvoice_wrapper import TTS

            self._speech = TTS(threads=1, quiet=True)
        except (ImportError, RuntimeError) as error:
            raise DataError(f"RHVoice can't be loaded ({error}); see egs2/debian_speech") from None

    def voices(self, lang: str) -> tuple[str, ...]:
        """Its free voices. DataError: not one of its languages."""
        if lang not in VOICES:
            raise DataError(f"RHVoice doesn't speak '{lang}' here; it speaks {' '.join(VOICES)}")
        return VOICES[lang]

    def say(self, text: str, voice: str, rate: float, pitch: float) -> np.ndarray:
        """Samples (T,) at 16 kHz; pitch and formants are moved together, by resampling."""
        settings = {"relative_rate": rate / pitch}
        data = self._speech.get(text, voice=voice, format_="pcm", sets=settings)
        wave = np.frombuffer(data, "<i2").astype(np.float32) / 2**15
        return soxr.resample(wave, SAMPLE_RATE * pitch, RATE)

    def close(self) -> None:
        """End its thread."""
        self._speech.join()
