"""Audio files: read any, to its end, in blocks; write 16-bit FLAC."""

import math
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile

from comsl.corpora.file_names import find_file
from comsl.corpora.samples import RATE, to_blocks, to_float
from comsl.errors import DataError
from comsl.files import atomic_file

UNKNOWN_SIZE = 0x7FFF0000  # bytes; a WAV that was written into a pipe states more than this
TAGS = (b"ID3", b"TAG", b"APETAGEX")  # between MP3s that were joined: packets, but no audio


def read_audio(path: Path | str, longest: float = math.inf) -> np.ndarray:
    """Samples (T,), float32, mono, 16 kHz. DataError as `read_blocks`, or over `longest` seconds,
    which it then doesn't keep in memory."""
    blocks, samples = [np.zeros(0, np.float32)], 0
    for block in read_blocks(path):
        samples += len(block)
        if samples > longest * RATE:
            raise DataError(f"over {longest:g} s long")
        blocks.append(block)
    return np.concatenate(blocks)


def read_blocks(path: Path | str | BinaryIO, skip_damaged: bool = False) -> Iterator[np.ndarray]:
    """A file's audio, in blocks (T,) of some seconds, float32, mono, 16 kHz. It may be open.

    FFmpeg decodes to the file's end, whatever a header says; files that follow one another in one
    (MP3, Ogg) are all heard. skip_damaged: go on after what can't be decoded. DataError, after the
    blocks before it: missing, unreadable, no audio, damaged, samples that are no numbers.
    """
    try:
        if isinstance(path, Path | str):
            path = find_file(Path(path))
        yield from to_blocks(_decode(path, skip_damaged))
    except DataError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{_name(path)} can't be read: {reason}") from None


def _name(path: Path | BinaryIO) -> str:
    return f"audio file '{path}'" if isinstance(path, Path) else "the recording"


def _decode(path: Path | BinaryIO, skip_damaged: bool) -> Iterator[tuple[int, np.ndarray]]:
    """(rate, (channels, T)) of every frame."""
    if isinstance(path, Path) and not path.is_file():
        raise DataError(f"no audio file '{path}'")
    # No protocol but "file": a playlist in it may not lead elsewhere, nor a colon in its name. One
    # in an open file, which somebody may have sent, leads nowhere.
    source, protocol = (f"file:{path}", "file") if isinstance(path, Path) else (path, "none")
    with av.open(source, "r", options={"protocol_whitelist": protocol}) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise DataError(f"no audio in {_name(path)}")
        if stream.codec_context is None:
            raise DataError(f"{_name(path)} can't be read: its codec is not known")
        stream.codec_context.thread_count = 1  # threads wouldn't survive a fork
        if stream.codec_context.name == "flac":  # else a damaged frame would be noise
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        for frame in _frames(container, stream, skip_damaged):
            if not frame.sample_rate:
                raise DataError(f"no audio in {_name(path)}")
            samples = frame.to_ndarray()
            if not frame.format.is_planar:
                samples = samples.reshape(-1, frame.layout.nb_channels).T
            yield frame.sample_rate, to_float(samples)


def _frames(container, stream, skip_damaged: bool) -> Iterator[av.AudioFrame]:
    """Every frame that can be decoded. av.FFmpegError: one can't, and `skip_damaged` is not set."""
    for packet in _packets(container, stream, skip_damaged):
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            if not skip_damaged and not bytes(packet).startswith(TAGS):
                raise


def _packets(container, stream, skip_damaged: bool) -> Iterator[av.Packet]:
    """Every packet, and an empty one, for which the decoder gives what it still holds."""
    try:
        yield from container.demux(stream)
    except av.FFmpegError:  # the rest of the file is missing
        if not skip_damaged:
            raise
        yield av.Packet()


@contextmanager
def open_flac(path: Path) -> Iterator[soundfile.SoundFile]:
    """A 16-bit FLAC at 16 kHz, to write blocks (T,) into; it takes `path`'s place when the block
    ends well. OSError: no room."""
    with atomic_file(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", RATE, 1, "PCM_16", format="FLAC") as file:
                yield file
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path} can't be written ({error.error_string}); disk full?") from None


def write_flac(path: Path, samples: np.ndarray) -> None:
    """Write samples (T,) as `open_flac` does."""
    with open_flac(path) as file:
        file.write(samples)


def stated_seconds(path: Path | str) -> float | None:
    """Length that a file's header states; None where it states none that one can rely on.

    It is never taken for the file's length: what is shorter has lost its end.
    """
    try:
        info = soundfile.info(find_file(Path(path)))
    except soundfile.LibsndfileError:
        return None
    if info.format == "WAV":
        return _wav_seconds(path, info.duration)
    if info.format == "MP3":  # without LAME's table of contents the length is a guess
        with Path(path).open("rb") as file:
            head = file.read(1 << 16)
        if b"Xing" not in head and b"Info" not in head:
            return None
    return info.duration if info.frames < UNKNOWN_SIZE else None


def _wav_seconds(path: Path | str, found: float) -> float:
    """Length in a WAV's header, for which libsndfile gives what it has `found` in the file; that
    too where the standard library can't read it (floating point), or where it states none."""
    try:
        with wave.open(str(path)) as file:
            size = file.getnframes() * file.getsampwidth() * file.getnchannels()
            return file.getnframes() / file.getframerate() if size < UNKNOWN_SIZE else found
    except (wave.Error, EOFError):
        return found
