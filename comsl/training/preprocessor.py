"""From the text of an utterance to the token sequences that the model takes."""

import numpy as np
from espnet2.train.preprocessor import AbsPreprocessor

from comsl.tokenizer import Tokenizer
from comsl.vocabulary import typeset


class ComSLPreprocessor(AbsPreprocessor):
    """Turns source_text, target_text and lang into `source` and `target`, token ids (L,) int64.

    target_lang: language of target_text, where an utterance has no item of that name.
    denoise: share of the training utterances that become a denoising task, either side with
    equal probability: noised text in, the same text out (mBART's pretraining).
    typeset: share of the training utterances whose source gets a printer's apostrophes, quotation
    marks and dashes, for corpora whose texts have a typewriter's.
    """

    def __init__(
        self,
        train: bool,
        tokenizer: Tokenizer,
        target_lang: str,
        denoise: float = 0.0,
        typeset: float = 0.0,
    ):
        super().__init__(train)
        self.tokenizer = tokenizer
        self.target_lang = target_lang
        self.denoise = denoise if train else 0.0
        self.typeset = typeset if train else 0.0

    def __call__(self, uid: str, data: dict) -> dict[str, np.ndarray]:
        lang = data.pop("lang")
        text = data.pop("source_text")
        if self.typeset and np.random.random() < self.typeset:
            text = typeset(text)
        source = self.tokenizer.encode(text, lang)
        target_lang = data.pop("target_lang", self.target_lang)
        target = self.tokenizer.encode(data.pop("target_text"), target_lang)
        if self.denoise and np.random.random() < self.denoise:
            target = source if np.random.random() < 0.5 else target
            source = [target[0], *infill(target[1:-1], self.tokenizer.mask_id), target[-1]]
        return data | {"source": np.array(source), "target": np.array(target)}


def infill(tokens: list[int], mask_id: int, share: float = 0.35, span: float = 3.5) -> list[int]:
    """mBART's text infilling: spans, Poisson(`span`) long, until `share` of the tokens is gone,
    each become one `<mask>` (Liu et al. 2020, section 2.2)."""
    tokens = list(tokens)
    left = round(share * len(tokens))
    while left > 0:
        length = min(max(1, np.random.poisson(span)), left)
        start = np.random.randint(0, len(tokens) - length + 1)
        tokens[start : start + length] = [mask_id]
        left -= length
    return tokens
