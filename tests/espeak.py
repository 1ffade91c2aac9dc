"""Speech of espeak-ng whose words are timed by the synthesiser itself."""

import ctypes
from functools import cache
from typing import NamedTuple

import espeakng_loader
import numpy as np

SYNCHRONOUS, UTF8 = 2, 1
LIST_TERMINATED, WORD = 0, 1  # kinds of event


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
    """What was spoken: samples in [-1, 1), their rate in hertz, and the words: first character of
    each, the one after its last, and its start in seconds."""

    samples: np.ndarray
    rate: int
    words: list[tuple[int, int, float]]


def speak(text: str, voice: str) -> Speech:
    """A text by one of espeak-ng's voices; ValueError where there is none of this name."""
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
        raise ValueError(f"espeak-ng has no voice '{voice}'")
    library.espeak_SetSynthCallback(receive)
    utf8 = text.encode() + b"\0"
    library.espeak_Synth(utf8, ctypes.c_size_t(len(utf8)), 0, 0, 0, UTF8, None, None)
    return Speech(np.concatenate(samples) / 2**15, rate, words)


def _listed(events):
    """Those before the one that ends the list."""
    for event in map(events.__getitem__, range(1 << 16)):
        if event.type == LIST_TERMINATED:
            return
        yield event


@cache
def _library() -> tuple[ctypes.CDLL, int]:
    """The library, initialised, and its sampling rate."""
    library = espeakng_loader.load_library()
    rate = library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
    return library, rate
