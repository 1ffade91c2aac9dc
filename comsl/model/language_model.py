"""The language blocks: mBART-50's encoder, decoder, shared embedding and LM head."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, MBartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from comsl.errors import DataError
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer


@dataclass(frozen=True)
class Head:
    """The LM head: weight (V, d), and bias (V,), a constant."""

    weight: torch.Tensor
    bias: torch.Tensor

    def log_softmax(self, states: torch.Tensor) -> torch.Tensor:
        """Decoder states (n, d) -> log-probabilities (n, V), in single precision."""
        weight, bias = self.weight.to(states.dtype), self.bias.to(states.dtype)
        return nn.functional.linear(states, weight, bias).log_softmax(-1, dtype=torch.float32)

    def to(self, device: torch.device) -> "Head":
        """The same on a device."""
        return Head(self.weight.to(device), self.bias.to(device))


class LanguageModel(nn.Module):
    """mBART seen as the functions `emb`, `enc` and `dec` of method.md.

    path: Hugging Face hub id or folder; from_scratch: random weights of that folder's config;
    dropout: overrides the config's; checkpointing: training keeps the input of each layer only and
    computes the rest again for its gradient. DataError: nothing can be loaded from `path`.
    """

    def __init__(
        self,
        path: str | Path,
        from_scratch: bool = False,
        dropout: float | None = None,
        checkpointing: bool = False,
    ):
        super().__init__()
        overrides = {} if dropout is None else {"dropout": dropout}
        try:
            config = AutoConfig.from_pretrained(str(path), **overrides)
            if from_scratch:
                self.mbart = MBartForConditionalGeneration(config)
                for side in (self.mbart.model.encoder, self.mbart.model.decoder):
                    _start_with_sinusoids(side.embed_positions, rms=config.init_std)
            else:
                self.mbart = MBartForConditionalGeneration.from_pretrained(
                    str(path), config=config, dtype=torch.float32
                )
        except (OSError, ValueError) as error:
            raise DataError(f"no mBART could be loaded from '{path}': {error}") from error
        if checkpointing:
            self.mbart.activation_checkpointing_enable()
        self.config = config

    def add_tokens(self, number: int) -> None:
        """Room for `number` more tokens behind the others, with random embeddings (method.md,
        section 2); the LM head stays tied to them."""
        size = self.config.vocab_size + number
        self.mbart.resize_token_embeddings(size, mean_resizing=False)

    def save(self, folder: Path, tokenizer: Tokenizer) -> None:
        """Write a Hugging Face folder, each file under a temporary name first."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            self.mbart.save_pretrained(temporary)
            tokenizer.backend.save_pretrained(temporary)
            folder.mkdir(exist_ok=True)  # only now: a folder without files is no model
            for file in Path(temporary).iterdir():
                file.replace(folder / file.name)

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

    def translate(self, x: Sequences, y: Sequences) -> torch.Tensor:
        """Teacher-forced decoder states (B, L, d) of tokens y (B, L), given the text x (B, M)."""
        memory, _ = self.encode(Sequences(self.embed(x.values), x.lengths))
        return self.decode(y, memory)

    @property
    def head(self) -> Head:
        """Its weight is the embeddings'."""
        return Head(self.mbart.lm_head.weight, self.mbart.final_logits_bias[0])

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
            # Without it, and with a configuration that names none, <s> would be put before them.
            decoder_start_token_id=self.config.eos_token_id,
            num_beams=beam_size,
            max_new_tokens=max_tokens,
            do_sample=False,
        )
        return output.tolist()


@torch.no_grad()
def _start_with_sinusoids(positions: nn.Embedding, rms: float) -> None:
    """Neighbouring positions alike from the start (Vaswani et al. 2017, section 3.5), so that a
    small model finds out early which words belong together; all are trained on from there."""
    number, width = positions.weight.shape
    rates = 10000.0 ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(number)[:, None] * rates
    positions.weight.copy_(rms * 2**0.5 * torch.cat([angles.sin(), angles.cos()], dim=1))
