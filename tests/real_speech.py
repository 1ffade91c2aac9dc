"""Real recordings for tests: French prompts of Debian's asterisk-core-sounds (CC-BY-SA 3.0)."""

from functools import cache
from pathlib import Path

import av
import numpy as np

from comsl.corpora import debian
from comsl.corpora.loudness import SILENCE, levels
from comsl.corpora.samples import RATE

PACKAGE = "asterisk-core-sounds-fr-g722"
DIGITS = ["un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"]
KEYS = ["vm-saveoper", "ss-noservice", "invalid", "vm-tocallback", "demo-abouttotry", "demo-nogo"]


@cache
def prompts() -> list[np.ndarray]:
    """Waveforms (samples,) at 16 kHz, of 1 to 15 seconds each."""
    return [_decode(key) for key in KEYS]


@cache
def digits() -> list[np.ndarray]:
    """The words of DIGITS, each cut where it begins and ends."""
    waves = []
    for number in range(1, 10):
        wave = _decode(f"digits/{number}")
        heard = np.flatnonzero(levels(wave, 160) > SILENCE)
        waves.append(wave[160 * heard[0] : 160 * (heard[-1] + 1)])
    return waves


def count(
    generator: np.random.Generator, pause: float
) -> tuple[np.ndarray, list[tuple[int, float, float]]]:
    """Five words in any order, before each a pause of up to `pause` seconds: waveform (samples,),
    and each word's place in DIGITS, start and end in seconds, known by construction."""
    parts, words, place = [], [], 0
    for digit in generator.permutation(len(DIGITS))[:5].tolist():
        silence = np.zeros(int(generator.uniform(0, pause) * RATE), np.float32)
        start, end = place + len(silence), place + len(silence) + len(digits()[digit])
        words.append((digit, start / RATE, end / RATE))
        parts += [silence, digits()[digit]]
        place = end
    return np.concatenate(parts), words


def _decode(key: str) -> np.ndarray:
    folder = debian.fetch([PACKAGE], Path("downloads"))[PACKAGE]
    path = folder / "usr/share/asterisk/sounds/fr_CA_f_June" / f"{key}.g722"
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / 32768
