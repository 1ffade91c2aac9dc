"""How loud audio is, and whether anything in it can be speech."""

import numpy as np

from comsl.corpora.samples import RATE
from comsl.errors import DataError

SILENCE = -50.0  # dBFS. Quiet speech stays above -30, coded silence below -79


def levels(samples: np.ndarray, frame: int) -> np.ndarray:
    """Levels of the frames of `frame` samples each, in dB below full scale; -inf for zeros."""
    padded = np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.square(padded, dtype=np.float64).mean(axis=1))


def loudness(samples: np.ndarray) -> float:
    """Level of the loudest 20 ms of samples at 16 kHz; -inf for none."""
    return float(levels(samples, RATE // 50).max(initial=-np.inf))


def is_silent(samples: np.ndarray) -> bool:
    """True when nothing in samples at 16 kHz can be speech."""
    return loudness(samples) < SILENCE


class Measurement:
    """What audio is like that comes in blocks: its seconds, and the level of its loudest 20 ms."""

    def __init__(self):
        self.samples, self.loudness = 0, -np.inf

    def add(self, block: np.ndarray) -> None:
        """The next samples (T,), float32, 16 kHz."""
        self.samples += len(block)
        self.loudness = max(self.loudness, loudness(block))

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    def check(self, stated: float | None, tolerance: float) -> None:
        """DataError: nothing in it, silent, or shorter than stated, in seconds."""
        if not self.samples:
            raise DataError("zero-length audio")
        if self.loudness < SILENCE:
            raise DataError(f"silent audio of {self.seconds:.2f} s")
        if stated is not None and self.seconds < stated - tolerance:
            raise DataError(f"truncated audio: {self.seconds:.2f} s of {stated:.2f} s")
