"""Clean speech as it sounds over a telephone, in a room, with noise: copies for training."""

import hashlib

import av
import numpy as np
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from comsl.corpora.samples import RATE

PHONE_RATE = 8000
PHONE_BAND = (300.0, 3400.0)  # hertz
CODECS = ("pcm_mulaw", "pcm_alaw")  # G.711 in America and Japan, and elsewhere
ROOM, NOISE, TELEPHONE = 0.5, 0.7, 0.6  # how often
DECAY = (0.15, 0.6)  # seconds until an echo has fallen by 60 dB
DIRECT = (0.0, 12.0)  # dB of the direct sound above all echoes together
SNR = (8.0, 30.0)  # dB
LEVEL = (-30.0, -14.0)  # dBFS, of the whole clip
PEAK = 0.99


def augment(samples: np.ndarray, name: str) -> np.ndarray:
    """A clip (T,) at 16 kHz, float32, in a room, with noise, over a telephone, each or none of
    them, at a level of its own. The same for the same name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    draw = np.random.default_rng(seed)
    room, noise, telephone = draw.random(3) < (ROOM, NOISE, TELEPHONE)
    if room:
        samples = reverberate(samples, draw.uniform(*DECAY), draw.uniform(*DIRECT), draw)
    if noise:
        samples = add_noise(samples, draw.uniform(*SNR), draw)
    samples = at_level(samples, draw.uniform(*LEVEL))
    if telephone:
        samples = call(samples, draw.choice(CODECS))
    return samples.astype(np.float32)


def reverberate(
    samples: np.ndarray, decay: float, direct: float, draw: np.random.Generator
) -> np.ndarray:
    """In a room, whose echoes are noise that falls exponentially; as long as before.

    decay: seconds until they have fallen by 60 dB; direct: dB of the direct sound above them.
    """
    time = np.arange(int(decay * RATE)) / RATE
    echoes = draw.standard_normal(len(time)) * 10 ** (-3 * time / decay)
    echoes *= 10 ** (-direct / 20) / np.linalg.norm(echoes)
    return samples + fftconvolve(samples, echoes)[: len(samples)]


def add_noise(samples: np.ndarray, snr: float, draw: np.random.Generator) -> np.ndarray:
    """With noise whose power falls with frequency, by a power between 0 (white) and 2 (brown).

    snr: power of the clip above the noise's, in dB.
    """
    spectrum = np.fft.rfft(draw.standard_normal(len(samples)))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-draw.uniform(0, 2) / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, len(samples))
    return samples + noise * (_rms(samples) / max(_rms(noise), 1e-12) * 10 ** (-snr / 20))


def at_level(samples: np.ndarray, level: float) -> np.ndarray:
    """Scaled to a level, in dB below full scale, or as near to it as the peak allows."""
    gain = 10 ** (level / 20) / max(_rms(samples), 1e-12)
    return samples * min(gain, PEAK / max(np.abs(samples).max(initial=0), 1e-12))


def call(samples: np.ndarray, codec: str) -> np.ndarray:
    """Over a telephone: 300 to 3400 Hz, 8 kHz, one of CODECS; as long as before."""
    narrow = soxr.resample(samples, RATE, PHONE_RATE)
    band = butter(4, PHONE_BAND, "bandpass", fs=PHONE_RATE, output="sos")
    coded = _through(sosfilt(band, narrow), codec)
    wide = soxr.resample(coded, PHONE_RATE, RATE)[: len(samples)]
    return np.pad(wide, (0, len(samples) - len(wide)))


def _through(samples: np.ndarray, codec: str) -> np.ndarray:
    """Encoded by FFmpeg and decoded."""
    encoder, decoder = (av.CodecContext.create(codec, mode) for mode in "wr")
    for context in (encoder, decoder):
        context.sample_rate, context.layout, context.format = PHONE_RATE, "mono", "s16"
    wave = (np.clip(samples, -1, 1 - 2**-15) * 2**15).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate = PHONE_RATE
    packets = [packet for one in (frame, None) for packet in encoder.encode(one)]
    frames = [out for packet in (*packets, None) for out in decoder.decode(packet)]
    parts = [out.to_ndarray()[0] for out in frames]
    return np.concatenate([*parts, np.zeros(0, np.int16)]).astype(np.float32) / 2**15


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean())) if len(samples) else 0.0
