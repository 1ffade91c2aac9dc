"""When words are said, by the attention of Whisper's decoder; kept in Kaldi's ctm form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from whisper.audio import HOP_LENGTH
from whisper.timing import find_alignment
from whisper.tokenizer import get_tokenizer

from comsl.downloads import DOWNLOADS
from comsl.encoders.whisper import WhisperEncoder
from comsl.encoders.whisper_weights import load_whisper
from comsl.errors import DataError
from comsl.files import read_lines, write_text
from comsl.languages import language

# Seconds by which the attention is ahead of the voice: a word's token is looked for where the word
# before it fades. On words joined with known boundaries (tests/test_word_alignment.py) this lag
# puts most of the speech into the right word.
LAG = 0.14


@dataclass(frozen=True)
class Word:
    """A word, or a mark of punctuation, without spaces; start and end in seconds."""

    text: str
    start: float
    end: float


class WordAligner:
    """Aligns words as openai-whisper's word timestamps do: its decoder reads the transcript, and
    dynamic time warping follows the attention of the heads that follow the speech.

    model: Whisper's name or checkpoint. It is Whisper as published, whatever ComSL made of its
    encoder. The encoder hears an utterance at its real length, which takes a fraction of the time
    that windows of 30 s take.
    """

    def __init__(self, model: str, device: str = "cpu", downloads: str = DOWNLOADS):
        self.encoder = WhisperEncoder(model, downloads=downloads).eval().to(device)
        self.whisper = load_whisper(model, downloads)
        self.whisper.encoder = torch.nn.Identity()  # it is handed the states of the other
        self.whisper.to(device)
        self.device = device

    @torch.no_grad()
    def align(self, wave: np.ndarray, text: str, lang: str) -> list[Word]:
        """wave (samples,) at 16 kHz; text: what is said in it -> the text's words in their order;
        none if Whisper's decoder can't hold so long a text."""
        tokenizer = get_tokenizer(
            self.whisper.is_multilingual,
            num_languages=self.whisper.num_languages,
            language=language(lang).whisper,
            task="transcribe",
        )
        tokens = tokenizer.encode(" " + " ".join(text.split()))
        around = len(tokenizer.sot_sequence_including_notimestamps) + 1  # and the end of text
        if len(tokens) + around > self.whisper.dims.n_text_ctx:
            return []
        speech = torch.from_numpy(wave)[None].to(self.device)
        states, _, _ = self.encoder(speech, torch.tensor([len(wave)], device=self.device))
        frames = len(wave) // HOP_LENGTH  # the silence appended to it says nothing
        threads = torch.get_num_threads()
        timings = find_alignment(self.whisper, tokenizer, tokens, states[0], frames)
        torch.set_num_threads(threads)  # its Numba sets them to all cores, for good
        words = [Word("".join(t.word.split()), _lag(t.start), _lag(t.end)) for t in timings]
        return [word for word in words if word.text]


def _lag(seconds: float) -> float:
    """When the voice is where the attention is; before the first word there is none to fade."""
    return float(seconds) + LAG if seconds > 0 else 0.0


def write_ctm(path: Path, words: Mapping[str, Sequence[Word]]) -> None:
    """Utterance -> its words, as lines `utterance 1 start duration word`."""
    lines = (
        f"{utterance} 1 {word.start:.2f} {word.end - word.start:.2f} {word.text}\n"
        for utterance in sorted(words)
        for word in words[utterance]
    )
    write_text(path, "".join(lines))


def read_ctm(path: Path) -> dict[str, list[Word]]:
    """Utterance -> its words, where it has any. DataError with file and line: not of that form."""
    words: dict[str, list[Word]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            utterance, _, start, duration, text = line.split()
            word = Word(text, float(start), float(start) + float(duration))
        except ValueError:
            form = "utterance channel start duration word"
            raise DataError(f"{path}:{number}: not of the form `{form}`; make it anew") from None
        words.setdefault(utterance, []).append(word)
    return words
