"""SVOX Pico (Apache-2.0), as py-nanotts has it: a Spanish, a French and an Italian woman, hundreds
of times as fast as speech on one core."""

import numpy as np
import soxr

from comsl.corpora.samples import RATE
from comsl.corpora.spoken import Engine
from comsl.errors import DataError

VOICES = {"es": "es-ES", "fr": "fr-FR", "it": "it-IT"}
# Speakers made of the one: factors on the fundamental frequency, and on the formants.
SPEAKERS = {
    "man": (0.62, 0.88),
    "alto": (0.8, 0.95),
    "own": (1.0, 1.0),
    "young": (1.1, 1.06),
    "child": (1.25, 1.14),
}


class Pico(Engine):
    """A voice is `es-ES/man`."""

    name = "pico"

    def __init__(self):
        try:
            from py_nanotts import NanoTTS
        except ImportError as error:
            raise DataError(f"Pico can't be loaded ({error}): pip install py-nanotts") from None
        self._speech = NanoTTS()

    def voices(self, lang: str) -> tuple[str, ...]:
        """The language's speakers. DataError: not one of its languages."""
        if lang not in VOICES:
            raise DataError(f"Pico doesn't speak '{lang}'; it speaks {' '.join(VOICES)}")
        return tuple(f"{VOICES[lang]}/{speaker}" for speaker in SPEAKERS)

    def say(self, text: str, voice: str, rate: float, pitch: float) -> np.ndarray:
        """Samples (T,) at 16 kHz; the formants are moved by resampling."""
        name, speaker = voice.split("/")
        frequency, formants = SPEAKERS[speaker]
        moved = formants * pitch
        data = self._speech.speak(text, voice=name, speed=rate / moved, pitch=frequency / formants)
        wave = np.frombuffer(data, "<i2").astype(np.float32) / 2**15
        return soxr.resample(wave, RATE * moved, RATE)
