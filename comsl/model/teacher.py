"""The frozen language model that regularises text translation (docs/how-it-works.md)."""

import torch

from comsl.errors import DataError
from comsl.model.language_model import Head, LanguageModel
from comsl.model.lora import without_lora
from comsl.sequences import Sequences


class Teacher:
    """No module: one is saved, and set to training mode, with the model that holds it.

    cached: its decoder states are on disk (stage 5), so that of the language model nothing but the
    LM head is kept; bf16: it is stored in bfloat16.
    """

    def __init__(self, language_model: LanguageModel, cached: bool = False, bf16: bool = False):
        language_model = language_model.eval().requires_grad_(False)
        if bf16:
            language_model.to(torch.bfloat16)
        self.head = language_model.head
        self.language_model = None if cached else language_model

    def translate(self, x: Sequences, y: Sequences) -> torch.Tensor:
        """Its decoder states (B, N + 2, d)."""
        return self.language_model.translate(x, y)

    @torch.no_grad()
    def __call__(
        self,
        x: Sequences,
        y: Sequences,
        cached: torch.Tensor | None = None,
        lengths: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Head]:
        """What gives `p_theta'(y | x)`: its states (B, N + 2, d) of the tokens y (B, N + 2) given
        the text x (B, M + 2), and its head.

        cached, lengths: the states, where they are on disk. DataError: they are of other texts, or
        there are none of this batch.
        """
        device = x.values.device
        if self.language_model is not None:
            self.head = self.language_model.to(device).head
        else:
            self.head = self.head.to(device)
        if cached is None:
            if self.language_model is None:
                raise DataError("a set lacks the teacher's cached states: run stage 5 again")
            states = self.translate(x, y)
        elif torch.equal(lengths, y.lengths):
            states = cached
        else:
            raise DataError("the teacher's cached states are of other texts: run stage 5 again")
        return states.to(self.head.weight.dtype), self.head


class LoraTeacher(Teacher):
    """The language blocks that LoRA trains, without what it has added: no second copy."""

    def __init__(self, language_model: LanguageModel, cached: bool = False):
        self.head = language_model.head
        self.language_model = None if cached else language_model

    def translate(self, x: Sequences, y: Sequences) -> torch.Tensor:
        with without_lora(self.language_model):
            return self.language_model.translate(x, y)
