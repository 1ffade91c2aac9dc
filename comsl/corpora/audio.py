"""Audio files: read any, write 16-bit FLAC, judge what is in them."""

import wave
from pathlib import Path

import numpy as np
import soundfile

from comsl.corpora.kaldi import atomic_file
from comsl.errors import DataError

RATE = 16000
SILENCE = -50.0  # dBFS. Quiet speech stays above -30, coded silence below -79
PEAK = 8.0  # of floating-point files: mastering goes a little beyond 1, other scales far beyond
UNKNOWN_SIZE = 0x7FFF0000  # bytes; a WAV that was written into a pipe states more than this


def read_audio(path: Path | str) -> tuple[np.ndarray, int]:
    """Samples (T,) in [-1, 1], float32, channels averaged, and their rate in Hz.

    soundfile reads what it can, FFmpeg the rest (G.722, AAC ...). DataError: missing, unreadable.
    """
    if not Path(path).is_file():
        raise DataError(f"no audio file '{path}'")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return _decode(path)
    return samples.mean(axis=1), rate


def _decode(path: Path | str) -> tuple[np.ndarray, int]:
    """What FFmpeg makes of a file."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None or not stream.rate:
                raise DataError(f"no audio in '{path}'")
            mono = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
            frames = [out for frame in container.decode(stream) for out in mono.resample(frame)]
    except av.FFmpegError as error:
        raise DataError(f"audio file '{path}' can't be read: {error.strerror}") from None
    parts = [frame.to_ndarray()[0] for frame in frames]
    return np.concatenate(parts or [np.zeros(0, np.float32)]), stream.rate


def write_flac(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    """Write 16-bit FLAC in one step: under a temporary name, then renamed. OSError: no room."""
    with atomic_file(path) as temporary:
        try:
            soundfile.write(temporary, samples, rate, format="FLAC", subtype="PCM_16")
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path} can't be written ({error.error_string}); disk full?") from None


def stated_seconds(path: Path | str) -> float | None:
    """Length that a file's header states; None where it states none that one can rely on."""
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError:
        return None
    if info.format == "WAV":
        return _wav_seconds(path, info.duration)
    if info.format == "MP3":  # without LAME's table of contents the length is a guess
        with Path(path).open("rb") as file:
            head = file.read(1 << 16)
        if b"Xing" not in head and b"Info" not in head:
            return None
    return info.duration


def _wav_seconds(path: Path | str, found: float) -> float:
    """Length in a WAV's header, for which libsndfile gives what it has `found` in the file; that
    too where the standard library can't read it (floating point), or where it states none."""
    try:
        with wave.open(str(path)) as file:
            size = file.getnframes() * file.getsampwidth() * file.getnchannels()
            return file.getnframes() / file.getframerate() if size < UNKNOWN_SIZE else found
    except (wave.Error, EOFError):
        return found


def check_audio(samples: np.ndarray, rate: int, stated: float | None) -> None:
    """DataError: nothing in it, no audio, silent, or much shorter than the `stated` seconds."""
    seconds = len(samples) / rate
    if not len(samples):
        raise DataError("zero-length audio")
    if not (peak := np.abs(samples).max()) <= PEAK:  # NaN is neither more nor less
        raise DataError(f"no audio: samples up to {peak:g}, of at most 1")
    if is_silent(samples, rate):
        raise DataError(f"silent audio of {seconds:.2f} s")
    if stated is not None and seconds < 0.9 * stated - 0.1:
        raise DataError(f"truncated audio: {seconds:.2f} s of {stated:.2f} s")


def loudness(samples: np.ndarray, rate: int) -> float:
    """Level of the loudest 20 ms, in dB below full scale; -inf for no samples."""
    return float(levels(samples, rate // 50).max(initial=-np.inf))


def levels(samples: np.ndarray, frame: int) -> np.ndarray:
    """Levels of the frames of `frame` samples each, in dB below full scale; -inf for zeros."""
    padded = np.pad(samples, (0, -len(samples) % frame)).reshape(-1, frame)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.square(padded, dtype=np.float64).mean(axis=1))


def is_silent(samples: np.ndarray, rate: int) -> bool:
    """True when nothing in it can be speech."""
    return loudness(samples, rate) < SILENCE
