"""How alike speech and text are inside the language encoder: cosine similarity of their states,
utterance by utterance, and as one number for a set, by which models can be ranked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from comsl.corpora.loudness import SILENCE, levels
from comsl.corpora.samples import RATE
from comsl.errors import DataError
from comsl.evaluation.word_alignment import Word
from comsl.files import atomic_file
from comsl.inference import SpeechTranslator
from comsl.sequences import Sequences

Span = tuple[float, float]  # seconds


@dataclass(frozen=True)
class Similarity:
    """Of one utterance: matrix (M, T'), its transcript's M tokens against T' positions of speech;
    spans: when the words that a token is of are said, None for punctuation; wave (samples,) at
    16 kHz; seconds: from one position to the next."""

    tokens: list[str]
    matrix: np.ndarray
    spans: list[Span | None]
    wave: np.ndarray
    seconds: float

    @property
    def aligned(self) -> np.ndarray:
        """(M, T') bool: pairs of a token and a position whose middle is in the token's span, but
        for those in silence."""
        positions = self.matrix.shape[1]
        middles = np.arange(positions) * self.seconds
        frame = round(self.seconds * RATE)
        padded = np.pad(self.wave, (frame // 2, positions * frame))
        heard = levels(padded, frame)[:positions] >= SILENCE
        spans = np.array([span or (0.0, 0.0) for span in self.spans]).reshape(-1, 2)
        return (spans[:, :1] <= middles) & (middles < spans[:, 1:]) & heard

    def means(self) -> tuple[float, float] | None:
        """Mean cosine of the aligned pairs, and of the unaligned ones: the same tokens with the
        same positions, but each token with those of other words. None without two words.

        Silence and punctuation are in neither, and what all states have in common is in both, so
        that their difference tells only whether a token is nearer to its own speech than to the
        speech around it.
        """
        aligned = self.aligned
        unaligned = aligned.any(1)[:, None] & aligned.any(0) & ~aligned
        if not unaligned.any():
            return None
        return float(self.matrix[aligned].mean()), float(self.matrix[unaligned].mean())


@torch.inference_mode()
def compare(
    translator: SpeechTranslator,
    wave: np.ndarray,
    text: str,
    words: Sequence[Word],
    lang: str,
    layer: int,
) -> Similarity:
    """States after encoder layer `layer` of the speech-only pass and of the text-only pass.

    wave (samples,) at 16 kHz; text: what is said in it; words: when. The language code and `</s>`
    are in both passes but not in the matrix. DataError: no such layer, words of another text.
    """
    model, tokenizer = translator.model, translator.tokenizer
    language_model = model.language_model
    if not 0 <= layer <= language_model.config.encoder_layers:
        raise DataError(f"layer {layer}: the encoder has {language_model.config.encoder_layers}")
    ids = torch.tensor([tokenizer.encode(text, lang)], device=translator.device)
    speech = torch.from_numpy(wave)[None].to(translator.device)
    samples = torch.tensor([len(wave)], device=translator.device)
    e_s = model.embed_speech(speech, samples, ids[:, 0])
    e_x = Sequences(language_model.embed(ids), torch.tensor([ids.size(1)], device=ids.device))
    _, speech_states = language_model.encode(e_s, layer)
    _, text_states = language_model.encode(e_x, layer)
    matrix = normalize(text_states[0, 1:-1], dim=-1) @ normalize(speech_states[0, 1:], dim=-1).T
    tokens = tokenizer.backend.convert_ids_to_tokens(ids[0, 1:-1].tolist())
    spans = find_spans(tokens, tokenizer.offsets(text, lang), text, words)
    seconds = model.adapter.downsampling / model.speech_encoder.frame_rate
    return Similarity(tokens, matrix.float().cpu().numpy(), spans, wave, seconds)


def find_spans(
    tokens: Sequence[str], offsets: Sequence[tuple[int, int]], text: str, words: Sequence[Word]
) -> list[Span | None]:
    """From the first to the last word that a token has letters or digits of.

    offsets: the places in `text` where a token begins and ends; words: all of the text, or none,
    where it could not be aligned. DataError: they are of another text.
    """
    if not words:
        return [None] * len(tokens)
    if "".join(word.text for word in words) != "".join(text.split()):
        raise DataError(f"the words aligned are not those of '{text}'; make words.ctm anew")
    owners = iter(word for word in words for _ in word.text)
    owner = [None if letter.isspace() else next(owners) for letter in text]
    spans: list[Span | None] = []
    for token, (start, end) in zip(tokens, offsets, strict=True):
        own = [owner[place] for place in range(start, end) if text[place].isalnum()]
        # The tokenizer gives a lone `▁` the place of the letter that follows.
        spans.append((own[0].start, own[-1].end) if own and token != "▁" else None)
    return spans


def save_panels(folder: Path, utterance: str, panels: Sequence[tuple[str, Similarity]]) -> None:
    """An utterance's similarities by several models, each with its name, as `<utterance>.npz`."""
    one = panels[-1][1]
    arrays = {
        "utterance": utterance,
        "tokens": one.tokens,
        "spans": np.array([span or (np.nan, np.nan) for span in one.spans]).reshape(-1, 2),
        "wave": one.wave,
        "names": [name for name, _ in panels],
        "seconds": [panel.seconds for _, panel in panels],
    }
    arrays |= {f"matrix_{number}": panel.matrix for number, (_, panel) in enumerate(panels)}
    path = folder / f"{utterance.replace('/', '_')}.npz"
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_panels(path: Path) -> tuple[str, list[tuple[str, Similarity]]]:
    """What `save_panels` wrote: the utterance and its panels."""
    with np.load(path) as arrays:
        tokens, wave = arrays["tokens"].tolist(), arrays["wave"]
        spans = [None if np.isnan(span[0]) else tuple(span) for span in arrays["spans"].tolist()]
        panels = [
            (name, Similarity(tokens, arrays[f"matrix_{number}"], spans, wave, seconds))
            for number, (name, seconds) in enumerate(
                zip(arrays["names"].tolist(), arrays["seconds"].tolist(), strict=True)
            )
        ]
        return str(arrays["utterance"]), panels


def average(means: Mapping[str, Mapping[str, tuple[float, float] | None]]) -> dict:
    """Language -> utterance -> its `Similarity.means`, as similarity.json has them: `utterances`,
    `aligned`, `unaligned` and their `difference`, by language and of all utterances (`all`).

    Utterances count alike, however long they are; one without two words that are aligned doesn't
    count, and what none counts for has no means.
    """
    found = {lang: [pair for pair in table.values() if pair] for lang, table in means.items()}
    found["all"] = [pair for pairs in found.values() for pair in pairs]
    counts = {lang: len(pairs) for lang, pairs in found.items() if pairs or lang == "all"}
    found = {lang: np.array(pairs) for lang, pairs in found.items() if pairs}

    def by_lang(value) -> dict[str, float]:
        return {lang: round(float(value(pairs).mean()), 4) for lang, pairs in found.items()}

    return {
        "utterances": counts,
        "aligned": by_lang(lambda pairs: pairs[:, 0]),
        "unaligned": by_lang(lambda pairs: pairs[:, 1]),
        "difference": by_lang(lambda pairs: pairs[:, 0] - pairs[:, 1]),
    }
