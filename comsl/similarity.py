"""How alike speech and text are inside the language encoder: cosine similarity of their states."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import normalize

from comsl.errors import DataError
from comsl.inference import SpeechTranslator
from comsl.sequences import Sequences

SECONDS = 0.08  # a position of the speech: four encoder states of 20 ms


@dataclass(frozen=True)
class Similarity:
    """Of one utterance: matrix (M, T'), its transcript's M tokens against T' positions of speech;
    wave (samples,) at 16 kHz."""

    tokens: list[str]
    matrix: np.ndarray
    wave: np.ndarray


@torch.inference_mode()
def compare(
    translator: SpeechTranslator, wave: np.ndarray, text: str, lang: str, layer: int
) -> Similarity:
    """States after encoder layer `layer` of the speech-only pass and of the text-only pass.

    wave (samples,) at 16 kHz; text: what is said in it. The language code and `</s>` are in both
    passes but not in the matrix. DataError: no such layer.
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
    return Similarity(tokens, matrix.float().cpu().numpy(), wave)
