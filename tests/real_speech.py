"""Real recordings for tests: French prompts of Debian's asterisk-core-sounds (CC-BY-SA 3.0)."""

from functools import cache
from pathlib import Path

import av
import numpy as np

from comsl.data import debian

KEYS = ["vm-saveoper", "ss-noservice", "invalid", "vm-tocallback", "demo-abouttotry", "demo-nogo"]


@cache
def prompts() -> list[np.ndarray]:
    """Waveforms (samples,) at 16 kHz, of 1 to 15 seconds each."""
    package = "asterisk-core-sounds-fr-g722"
    folder = debian.fetch([package], Path("downloads"))[package]
    voice = folder / "usr/share/asterisk/sounds/fr_CA_f_June"
    return [_decode(voice / f"{key}.g722") for key in KEYS]


def _decode(path: Path) -> np.ndarray:
    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / 32768
