"""Waveforms of a prepared set (stage 2's output): read and measured."""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import soundfile

from comsl.corpora.audio import read_audio
from comsl.corpora.samples import RATE
from comsl.errors import DataError
from comsl.read_ahead import read_ahead


@dataclass(frozen=True)
class Wave:
    """A waveform whose length in samples is known, but which is read only where NumPy asks for it:
    of CoVoST 2's test sets all together would take 30 GB."""

    utterance: str
    path: str
    samples: int

    def __len__(self) -> int:
        return self.samples

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return read_wave(self.utterance, self.path)


def read_wave(utterance: str, path: str) -> np.ndarray:
    """Samples (T,), float32, 16 kHz mono. DataError: missing, unreadable, empty."""
    try:
        samples = read_audio(path)
    except DataError as error:
        raise DataError(f"utterance '{utterance}': {error}") from None
    _check(utterance, path, len(samples), RATE)
    return samples


def count_samples(wav_scp: dict[str, str]) -> dict[str, int]:
    """{utterance: samples}, from the files' headers alone.

    DataError as for `read_wave`.
    """
    return {utterance: _count(utterance, path) for utterance, path in wav_scp.items()}


def open_waves(wav_scp: dict[str, str]) -> dict[str, Wave]:
    """{utterance: wave}. DataError as `count_samples`."""
    samples = count_samples(wav_scp)
    return {key: Wave(key, path, samples[key]) for key, path in wav_scp.items()}


def read_waves(waves: Mapping[str, Wave], what: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each utterance with its samples, and a line of progress, about `what`, now and then."""
    start = time.monotonic()
    rows = read_ahead(lambda key: np.asarray(waves[key]), waves)
    for number, row in enumerate(rows, start=1):
        yield row
        if number % 100 == 0 or number == len(waves):
            logging.info("%s: %d/%d, %.0f s", what, number, len(waves), time.monotonic() - start)


def check_window(samples: Mapping[str, int], window: int) -> None:
    """DataError: an utterance has more samples than fit a speech encoder's window."""
    for utterance, length in samples.items():
        if length > window:
            raise DataError(
                f"utterance '{utterance}': {length / RATE:.2f} s exceed the {window / RATE:g} s"
                " that the speech encoder hears; split it"
            )


def _count(utterance: str, path: str) -> int:
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"utterance '{utterance}': '{path}' can't be read ({error})") from None
    _check(utterance, path, info.frames, info.samplerate)
    return info.frames


def _check(utterance: str, path: str, samples: int, rate: int) -> None:
    if rate != RATE:
        raise DataError(f"utterance '{utterance}': '{path}' has {rate} Hz; {RATE} wanted (stage 2)")
    if samples == 0:
        raise DataError(f"utterance '{utterance}': '{path}' is empty; drop it (stage 2)")
