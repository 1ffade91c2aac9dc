"""What a recording can be given as."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from comsl.corpora.audio import read_blocks
from comsl.corpora.samples import array_blocks
from comsl.errors import DataError

# A file; an array with its rate, a pair or {"array", "sampling_rate"}; what `read_speech` gives.
Audio = str | Path | tuple[ArrayLike, float] | Mapping | Iterator[np.ndarray]


def read_speech(audio: Audio) -> Iterator[np.ndarray]:
    """Blocks (T,), float32, mono, 16 kHz, of a file or an array. DataError: it is neither."""
    if isinstance(audio, Iterator):
        return audio
    if isinstance(audio, str | Path):
        return read_blocks(audio, skip_damaged=True)
    try:
        samples, rate = audio if isinstance(audio, tuple) else _named(audio)
    except (TypeError, ValueError, LookupError):
        raise DataError(
            f"{type(audio).__name__} as audio: a path, (array, rate), or a dictionary with 'array'"
            " and 'sampling_rate', please"
        ) from None
    return array_blocks(samples, rate)


def _named(audio: Mapping) -> tuple[ArrayLike, float]:
    return audio["array"], audio["sampling_rate"]
