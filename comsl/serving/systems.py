"""The systems that recordings can be given to: ComSL, Whisper, and a cascade of both."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

import comsl
from comsl.errors import DataError
from comsl.languages import LANGUAGES, language
from comsl.recordings.translation import Detector, System

SYSTEMS = ("comsl", "whisper", "cascade")
DEFAULT_MODEL = Path(comsl.__file__).parent / "pretrained"  # the model that comes with the package
# Seconds after a clip: of 246 prompts 97.2 % are told apart with them, 95.9 % with half a second.
DETECTION_SILENCE = 2.0


class WhisperSystem:
    """OpenAI's Whisper: transcribes, translates into English, and tells languages apart.

    name: as `load_whisper` takes it. It is loaded when it is first needed. DataError, then: it
    can't be. Its methods may be called in any thread.
    """

    target_lang = "en"
    longest = 30.0

    def __init__(self, name: str = "base", device: str = "cpu"):
        self.name, self.device = name, device
        self.lock = Lock()  # decoding changes the model as long as it lasts
        self.languages = list(LANGUAGES)

    @cached_property
    def model(self):
        """Of openai-whisper."""
        from comsl.encoders.whisper_weights import load_whisper

        return load_whisper(self.name).to(self.device)

    def generate(
        self,
        task: str,
        waves: list[np.ndarray],
        langs: list[str],
        batch_size: int = 8,
        beam_size: int = 5,
    ) -> list[str]:
        """As System; openai-whisper decodes one language at a time."""
        from comsl.baselines.whisper_decoding import decode, encode

        texts: dict[int, str] = {}
        for lang in dict.fromkeys(langs):
            places = [place for place, other in enumerate(langs) if other == lang]
            for first in range(0, len(places), batch_size):
                batch = places[first : first + batch_size]
                with self.lock:
                    states = encode(self.model, [waves[place] for place in batch])
                    heard = decode(self.model, states, language(lang).whisper, task, beam_size)
                texts |= zip(batch, heard, strict=True)
        return [texts[place] for place in range(len(waves))]

    @cached_property
    def encoder(self):
        """The same encoder, at real lengths: a clip's language is found out ten times faster."""
        from comsl.encoders.whisper import WhisperEncoder

        return WhisperEncoder.around(self.model.encoder, DETECTION_SILENCE)

    def detect(self, waves: list[np.ndarray], languages: Sequence[str]) -> list[str]:
        """As Detector: Whisper's own way, by the token that follows the start of a transcript."""
        import torch
        from whisper.tokenizer import get_tokenizer

        tokens = get_tokenizer(multilingual=True)
        start = torch.tensor([[tokens.sot]], device=self.device)
        codes = [tokens.to_language_token(language(lang).whisper) for lang in languages]
        found = []
        for wave in waves:
            speech = torch.from_numpy(wave)[None].to(self.device)
            with self.lock, torch.inference_mode():
                states, _, _ = self.encoder(speech, torch.tensor([len(wave)]))
                scores = self.model.logits(start, states)[0, 0, codes]
            found.append(languages[int(scores.argmax())])
        return found


class Cascade:
    """Whisper's transcripts, translated by the language blocks of a ComSL model (translator: its
    SpeechTranslator)."""

    longest = WhisperSystem.longest

    def __init__(self, whisper: WhisperSystem, translator):
        self.whisper, self.translator = whisper, translator
        self.languages, self.target_lang = translator.languages, translator.target_lang

    def generate(
        self, task: str, waves: list[np.ndarray], langs: list[str], **search: int
    ) -> list[str]:
        """As System."""
        texts = self.whisper.generate("asr", waves, langs, **search)
        return texts if task == "asr" else self.translator.generate("mt", texts, langs, **search)


def load_system(
    name: str,
    model: str | Path | None = None,
    whisper: str = "base",
    device: str | None = None,
    target_lang: str | None = None,
    dtype: str | None = None,
) -> tuple[System, Detector]:
    """One of SYSTEMS, and what tells its languages apart.

    model, target_lang: as `SpeechTranslator.from_pretrained` takes them; without a model the one
    that comes with the package. device: PyTorch's name of it; None: a GPU where there is one.
    dtype: as SpeechTranslator takes it; Whisper has none. DataError: no such system, model or
    device, or it doesn't translate into that language, or doesn't compute so.
    """
    if name not in SYSTEMS:
        raise DataError(f"no system '{name}': there are {' '.join(SYSTEMS)}")
    if name != "whisper" and model is None and not DEFAULT_MODEL.exists():
        raise DataError(
            "the model that comes with comsl is missing: name one with --model (an experiment, a"
            " packed model, or the id of one on the Hugging Face hub), or use --system whisper"
        )
    device = choose_device(device)
    heard = WhisperSystem(whisper, device)
    if name == "whisper":
        if target_lang not in (None, heard.target_lang):
            raise DataError(f"Whisper translates into English only, not into '{target_lang}'")
        if dtype is not None:
            raise DataError(f"--dtype {dtype} is for ComSL's model; Whisper has no choice")
        return heard, heard
    from comsl.inference import SpeechTranslator

    path = model or DEFAULT_MODEL
    translator = SpeechTranslator.from_pretrained(path, device, target_lang, dtype)
    return (translator if name == "comsl" else Cascade(heard, translator)), heard


def load_systems(
    model: str | Path | None = None,
    whisper: str = "base",
    device: str | None = None,
    dtype: str | None = None,
) -> tuple[dict[str, System], Detector]:
    """All of SYSTEMS by their names, and what tells languages apart; parts as `load_system`."""
    translator, heard = load_system("comsl", model, whisper, device, dtype=dtype)
    return {"comsl": translator, "whisper": heard, "cascade": Cascade(heard, translator)}, heard


def choose_device(name: str | None) -> str:
    """`name`, or a GPU where there is one. DataError: PyTorch has no such device."""
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DataError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return name
