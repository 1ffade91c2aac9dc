"""Samples of any type, rate and channels as the models hear them: float32, mono, 16 kHz, in blocks
of bounded length."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import numpy as np
import soxr
from numpy.typing import ArrayLike

from comsl.errors import DataError

RATE = 16000
BLOCK = 30  # seconds held at once
PEAK = 8.0  # of floating-point samples: mastering goes a little beyond 1, other scales far beyond
CHANNELS = 8  # an array's shorter side may be; 7.1 has as many
LOWEST_RATE = 1000  # what is lower is meant in kHz
FULL_SCALE = {np.dtype(name): -np.iinfo(name).min for name in ("int8", "int16", "int32")}
FULL_SCALE[np.dtype("uint8")] = 128


def array_blocks(samples: ArrayLike, rate: float) -> Iterator[np.ndarray]:
    """Blocks (T,), float32, 16 kHz, of samples (T,), (channels, T) or (T, channels), or a tensor.

    Integers are scaled by their type. DataError: another shape or type, no rate in hertz, and, as
    the blocks are taken, samples that are no numbers or far beyond full scale.
    """
    hertz = _hertz(rate)
    channels = _channels(_numpy(samples))
    step = round(BLOCK * hertz)
    starts = range(0, channels.shape[1], step)
    return to_blocks((hertz, to_float(channels[:, start : start + step])) for start in starts)


def to_blocks(chunks: Iterable[tuple[float, np.ndarray]]) -> Iterator[np.ndarray]:
    """Blocks (T,), float32, mono, 16 kHz, of chunks (rate, (channels, T)), whose rate and number of
    channels may change. DataError: samples that are no numbers or far beyond full scale."""
    mono = ((rate, to_mono(_checked(block))) for rate, block in _joined(chunks))
    for rate, blocks in groupby(mono, key=itemgetter(0)):
        yield from _resampled((block for _, block in blocks), rate)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1], float32; floating-point ones as they are. DataError: another type."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype not in FULL_SCALE:
        raise DataError(
            f"samples of type {samples.dtype}: floats, or integers of 8, 16 or 32 bits, please"
        )
    middle = np.float32(128 if samples.dtype == np.uint8 else 0)
    return (samples.astype(np.float32) - middle) / np.float32(FULL_SCALE[samples.dtype])


def to_mono(channels: np.ndarray) -> np.ndarray:
    """The mean of the channels (channels, T), or, where they are in opposite phase and cancel each
    other in it, the strongest of them."""
    mean = channels.mean(axis=0)
    powers = np.vecdot(channels, channels)
    # Uncorrelated channels leave this much in the mean; it is half of it at a correlation of -0.5.
    uncorrelated = powers.sum() / len(channels) ** 2
    return channels[powers.argmax()] if np.vecdot(mean, mean) < 0.5 * uncorrelated else mean


def _numpy(samples: ArrayLike) -> np.ndarray:
    """An array of what may be a tensor, on whatever device and with a gradient."""
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        samples = samples.float() if samples.is_floating_point() else samples
    try:
        return np.asarray(samples)
    except ValueError as error:
        raise DataError(f"no array of samples: {error}") from None


def _channels(samples: np.ndarray) -> np.ndarray:
    """(channels, T) of (T,), (channels, T) or (T, channels). DataError: neither of them."""
    if samples.ndim == 1:
        return samples[None]
    if samples.ndim == 2 and min(samples.shape) <= CHANNELS < max(samples.shape):
        return samples if samples.shape[0] < samples.shape[1] else samples.T
    raise DataError(
        f"an array of shape {samples.shape}: (samples,), (channels, samples) or (samples, channels)"
        f" with at most {CHANNELS} channels, please"
    )


def _hertz(rate: float) -> float:
    try:
        hertz = float(rate)
    except (TypeError, ValueError):
        hertz = 0.0
    if not LOWEST_RATE <= hertz < float("inf"):
        raise DataError(f"a sampling rate of {rate!r}: hertz, please, such as {RATE}")
    return hertz


def _joined(chunks: Iterable[tuple[float, np.ndarray]]) -> Iterator[tuple[float, np.ndarray]]:
    """The chunks joined to blocks of about BLOCK seconds, as long as rate and channels stay."""
    parts: list[np.ndarray] = []
    kind, held = (0.0, 0), 0
    for rate, chunk in chunks:
        if parts and (kind != (rate, len(chunk)) or held >= BLOCK * rate):
            yield kind[0], np.concatenate(parts, axis=1)
            parts, held = [], 0
        parts.append(chunk)
        kind, held = (rate, len(chunk)), held + chunk.shape[1]
    if parts:
        yield kind[0], np.concatenate(parts, axis=1)


def _checked(channels: np.ndarray) -> np.ndarray:
    """DataError: a sample is NaN, infinite, or far beyond full scale."""
    peak = np.abs(channels).max(initial=0)
    if not peak <= PEAK:  # NaN is neither more nor less
        raise DataError(f"no audio: samples up to {peak:g}, of at most 1")
    return channels


def _resampled(blocks: Iterable[np.ndarray], rate: float) -> Iterator[np.ndarray]:
    """Blocks (T,) at a rate as blocks at 16 kHz, as if they were resampled in one."""
    if rate == RATE:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, RATE, num_channels=1)
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
