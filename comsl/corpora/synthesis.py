"""Synthetic speech: texts spoken by espeak-ng, which times the words."""

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import espeakng_loader
import numpy as np
import soxr

from comsl.corpora.samples import RATE
from comsl.corpora.spoken import Engine
from comsl.errors import DataError

SYNCHRONOUS, UTF8 = 2, 1
LIST_TERMINATED, WORD = 0, 1  # kinds of event
SPEED, PITCH = 1, 3  # parameters
VOICES = {"es": "es-419", "zh-CN": "cmn"}  # Latin America's Spanish; others: the language's name
VARIANTS = ("m1", "m3", "m7", "f1", "f2", "f3", "f4", "f5")
WORDS_A_MINUTE = 155
TIED_IPA = 0x02 | 0x80 | ord("^") << 8  # how phonemes are written


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Speech(NamedTuple):
    """Samples in [-1, 1) at 16 kHz, and of each word the first character, the one after the last,
    and the start in seconds."""

    samples: np.ndarray
    words: list[tuple[int, int, float]]


def speak(text: str, voice: str, speed: int = 175, pitch: int = 50) -> Speech:
    """A text by one of espeak-ng's voices, `fr` or with a variant `fr+f2`.

    speed: words a minute, 80 to 450; pitch: 0 to 99. DataError: there is no such voice.
    """
    library, rate = _library()
    samples, words = [], []

    @_Callback
    def receive(wave, count, events):
        if wave:
            samples.append(np.ctypeslib.as_array(wave, (count,)).copy())
        for event in _listed(events):
            if event.type == WORD:
                first = event.text_position - 1
                words.append((first, first + event.length, event.audio_position / 1000))
        return 0

    if library.espeak_SetVoiceByName(voice.encode()):
        raise DataError(f"espeak-ng has no voice '{voice}'")
    library.espeak_SetParameter(SPEED, speed, 0)
    library.espeak_SetParameter(PITCH, pitch, 0)
    library.espeak_SetSynthCallback(receive)
    utf8 = text.encode() + b"\0"
    library.espeak_Synth(utf8, ctypes.c_size_t(len(utf8)), 0, 0, 0, UTF8, None, None)
    wave = np.concatenate([np.zeros(0, np.int16), *samples]).astype(np.float32) / 2**15
    return Speech(soxr.resample(wave, rate, RATE), words)


class Espeak(Engine):
    """espeak-ng. A voice is `fr+m3`: the language's, and a variant of it."""

    name = "espeak"

    def voices(self, lang: str) -> tuple[str, ...]:
        """Variants of the language's voice."""
        voice = VOICES.get(lang, lang.split("-")[0])
        return tuple(f"{voice}+{variant}" for variant in VARIANTS)

    def say(self, text: str, voice: str, rate: float, pitch: float) -> np.ndarray:
        """Samples (T,) at 16 kHz. DataError: no such voice."""
        speed = round(rate * WORDS_A_MINUTE)
        return speak(text, voice, speed, pitch=round(50 + 333 * (pitch - 1))).samples


def phonemes(text: str, voice: str) -> str:
    """A text in the International Phonetic Alphabet, sounds of one phoneme tied by `^`.

    DataError: there is no such voice.
    """
    library, _ = _library()
    if library.espeak_SetVoiceByName(voice.encode()):
        raise DataError(f"espeak-ng has no voice '{voice}'")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    utf8 = ctypes.create_string_buffer(text.encode())
    rest = ctypes.c_void_p(ctypes.addressof(utf8))  # None after the last clause
    clauses = []
    while rest.value:
        clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, TIED_IPA).decode())
    return " ".join(clauses)


def _listed(events) -> Iterator[_Event]:
    """Those before the one that ends the list."""
    place = 0
    while events[place].type != LIST_TERMINATED:
        yield events[place]
        place += 1


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    """espeak-ng, initialised, and its sampling rate in hertz."""
    library = espeakng_loader.load_library()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    return library, rate
