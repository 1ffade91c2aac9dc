"""The language blocks: mBART-50's encoder, decoder, shared embedding and LM head."""

from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, MBartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from comsl.errors import DataError
from comsl.sequences import Sequences


class LanguageModel(nn.Module):
    """mBART seen as the functions `emb`, `enc` and `dec` of method.md.

    path: Hugging Face hub id or folder; from_scratch: random weights of that folder's config;
    dropout: overrides the config's. Raises DataError where nothing can be loaded from `path`.
    """

    def __init__(self, path: str | Path, from_scratch: bool = False, dropout: float | None = None):
        super().__init__()
        overrides = {} if dropout is None else {"dropout": dropout}
        try:
            config = AutoConfig.from_pretrained(str(path), **overrides)
            if from_scratch:
                self.mbart = MBartForConditionalGeneration(config)
            else:
                self.mbart = MBartForConditionalGeneration.from_pretrained(
                    str(path), config=config, dtype=torch.float32
                )
        except (OSError, ValueError) as error:
            raise DataError(f"no mBART could be loaded from '{path}': {error}") from error
        self.config = config

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Tokens (B, L) -> scaled embeddings (B, L, d)."""
        return self.mbart.get_input_embeddings()(ids)

    def encode(self, embeddings: Sequences, layer: int | None = None):
        """Embeddings (B, L, d) -> final states as Sequences, and those after layer `layer`
        (B, L, d), or None without one. Raises DataError past the learned positions."""
        longest, limit = embeddings.values.size(1), self.config.max_position_embeddings
        if longest > limit:
            raise DataError(f"an input of {longest} positions; the language model has {limit}")
        output = self.mbart.model.encoder(
            inputs_embeds=embeddings.values,
            attention_mask=embeddings.mask.long(),
            output_hidden_states=layer is not None,
        )
        states = Sequences(output.last_hidden_state, embeddings.lengths)
        return states, None if layer is None else output.hidden_states[layer]

    def decode(self, tokens: Sequences, memory: Sequences) -> torch.Tensor:
        """Teacher-forced decoder states (B, L, d): state `i` predicts token `i` of `tokens`.

        tokens: `[code, y_1..y_N, </s>]`; the decoder reads `[</s>, code, y_1..y_N]`.
        """
        start = torch.full_like(tokens.values[:, :1], self.config.eos_token_id)
        output = self.mbart.model.decoder(
            input_ids=torch.cat([start, tokens.values[:, :-1]], dim=1),
            encoder_hidden_states=memory.values,
            encoder_attention_mask=memory.mask.long(),
            use_cache=False,
        )
        return output.last_hidden_state

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Decoder states (..., d) -> logits (..., V)."""
        return self.mbart.lm_head(states) + self.mbart.final_logits_bias[0]

    @torch.inference_mode()
    def generate(
        self, memory: Sequences, codes: torch.Tensor, beam_size: int = 5, max_tokens: int = 128
    ) -> list[list[int]]:
        """Beam search from encoder states (B, S, d); token ids of every row.

        codes (B,): language tokens. The decoder starts with `[</s>, code]`, as in training.
        """
        start = torch.full_like(codes, self.config.eos_token_id)
        output = self.mbart.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.values),
            attention_mask=memory.mask.long(),
            decoder_input_ids=torch.stack([start, codes], dim=1),
            num_beams=beam_size,
            max_new_tokens=max_tokens,
            do_sample=False,
        )
        return output.tolist()
