"""The language blocks: a translation model's encoder, decoder, shared embedding and LM head."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
)
from transformers.modeling_outputs import BaseModelOutput

from comsl.errors import DataError
from comsl.hub import check_model
from comsl.model.repetition import goes_round
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer

# Of Hugging Face's: mBART and mBART-50; M2M-100 and NLLB-200; Marian. Of a further one encoder and
# decoder must bear the same names, and take embeddings; `start_id` is what a decoder reads first.
FAMILIES = ("mbart", "m2m_100", "marian")


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


class SingleLinear(nn.Linear):
    """The LM head of beam search, in single precision within autocast too: in bfloat16 logits about
    15 have steps of 0.06, and hypotheses that differ by less would tie."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        with torch.autocast(states.device.type, enabled=False):
            return super().forward(states.to(self.weight.dtype))


class LanguageModel(nn.Module):
    """A model of FAMILIES seen as the functions `emb`, `enc` and `dec` of docs/how-it-works.md.

    path: Hugging Face hub id or folder; from_scratch: random weights of that folder's config;
    dropout: overrides the config's; checkpointing: training keeps the input of each layer only and
    computes the rest again for its gradient. DataError: nothing can be loaded from `path`, or a
    model of another family.
    """

    lora_targets = ("q_proj", "v_proj")  # of attention: queries and values

    def __init__(
        self,
        path: str | Path,
        from_scratch: bool = False,
        dropout: float | None = None,
        checkpointing: bool = False,
    ):
        super().__init__()
        check_model(path)
        # All layers run: ERM compares states of a certain one.
        overrides = {"encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}
        overrides |= {} if dropout is None else {"dropout": dropout}
        try:
            config = AutoConfig.from_pretrained(str(path), **overrides)
            if config.model_type not in FAMILIES:
                families = " ".join(FAMILIES)
                raise ValueError(f"a {config.model_type}, and language blocks can be: {families}")
            if not getattr(config, "share_encoder_decoder_embeddings", True):  # of some Marians
                raise ValueError("its source and its target have a vocabulary each")
            vars(config).pop("comsl", None)  # of a packed model, whose language blocks these are
            if from_scratch:
                self.mbart = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
                for side in (self.mbart.model.encoder, self.mbart.model.decoder):
                    positions = side.embed_positions
                    if isinstance(positions, nn.Embedding) and positions.weight.requires_grad:
                        _start_with_sinusoids(positions, rms=config.init_std)
            else:
                self.mbart = AutoModelForSeq2SeqLM.from_pretrained(
                    str(path), config=config, dtype=torch.float32
                )
        except (OSError, ValueError) as error:
            raise DataError(f"'{path}': no language model could be loaded: {error}") from error
        self.mbart.lm_head.__class__ = SingleLinear
        # How to search is said by who searches, never by a checkpoint: of its settings only the
        # ids of tokens are kept.
        ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id")}
        self.mbart.generation_config = GenerationConfig(**ids, pad_token_id=config.pad_token_id)
        if checkpointing:
            self.mbart.activation_checkpointing_enable()
        self.config = config
        marian = config.model_type == "marian"
        self.start_id = config.pad_token_id if marian else config.eos_token_id

    def add_tokens(self, number: int) -> None:
        """Room for `number` more tokens behind the others, with random embeddings; the
        LM head stays tied to them. Some models have more than their tokenizer."""
        if number <= 0:
            return
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

    @property
    def embeddings(self) -> torch.Tensor:
        """Of all tokens (V, d), as they are trained: without the scale."""
        return self.mbart.get_input_embeddings().weight

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Tokens (B, L) -> scaled embeddings (B, L, d)."""
        scale = getattr(self.mbart.model.encoder, "embed_scale", 1.0)  # others scale by themselves
        return self.mbart.get_input_embeddings()(ids) * scale

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

        tokens: `[code, y_1..y_N, </s>]`; the decoder reads `[</s>, code, y_1..y_N]`, of
        Marian `[<pad>, code, y_1..y_N]`.
        """
        start = torch.full_like(tokens.values[:, :1], self.start_id)
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
        weight = self.mbart.lm_head.weight
        bias = getattr(self.mbart, "final_logits_bias", None)  # mBART's
        return Head(weight, weight.new_zeros(len(weight)) if bias is None else bias[0])

    @torch.inference_mode()
    def generate(
        self,
        memory: Sequences,
        codes: torch.Tensor,
        beam_size: int = 5,
        max_tokens: int | None = None,
        length_penalty: float = 0.6,
        early_stopping: bool = False,
    ) -> list[list[int]]:
        """Beam search from encoder states (B, S, d); token ids of every row, with `</s>` at their
        end unless they were cut there.

        codes (B,): language tokens. The decoder starts with `[</s>, code]`, as in training.
        max_tokens: the longest text; None follows what is translated, two tokens a state and 50
        more. The model's positions bound either, and a text that goes round in circles ends.
        length_penalty: hypotheses are ranked by `log p / tokens^length_penalty`; less favours
        shorter texts. early_stopping: a row's search ends once `beam_size` hypotheses have ended,
        else once no open one can beat them.
        """
        end, start = self.config.eos_token_id, 2
        of_beams = {"length_penalty": length_penalty, "early_stopping": early_stopping}
        limits = 2 * memory.lengths + 50 if max_tokens is None else 0 * memory.lengths + max_tokens
        limits = limits.clamp(max=self.config.max_position_embeddings - start)
        output = self.mbart.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=memory.values),
            attention_mask=memory.mask.long(),
            decoder_input_ids=torch.stack([torch.full_like(codes, self.start_id), codes], dim=1),
            # Without it, and with a configuration that names none, <s> would be put before them.
            decoder_start_token_id=self.start_id,
            suppress_tokens=[self.config.pad_token_id],  # Marian's has embeddings of zeros
            num_beams=beam_size,
            **(of_beams if beam_size > 1 else {}),
            max_new_tokens=int(limits.max()) + 1,
            logits_processor=LogitsProcessorList(
                [_EndCircles(end), _EndAt(start + limits, end, beam_size)]
            ),
            do_sample=False,
        )
        rows = zip(output.tolist(), limits.tolist(), strict=True)
        return [
            row[: start + limit] if row[start + limit : start + limit + 1] == [end] else row
            for row, limit in rows
        ]


class _EndCircles(LogitsProcessor):
    """A text that goes round in circles ends, at what an end costs there. transformers' own
    `no_repeat_ngram_size` forbids what people do say twice ("press 2 to ..., press 2 to ...") and
    has the circle go on in other words."""

    def __init__(self, end: int):
        self.end = end

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows = goes_round(input_ids)
        ends = scores[rows, self.end]
        scores[rows] = -torch.inf
        scores[rows, self.end] = ends
        return scores


class _EndAt(LogitsProcessor):
    """Every row of a batch ends at a length (B,) of its own, so that it doesn't depend on the
    others'."""

    def __init__(self, lengths: torch.Tensor, end: int, beam_size: int):
        self.lengths, self.end = lengths.repeat_interleave(beam_size), end

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        full = self.lengths <= input_ids.size(1)
        scores[full] = -torch.inf
        scores[full, self.end] = 0.0
        return scores


@torch.no_grad()
def _start_with_sinusoids(positions: nn.Embedding, rms: float) -> None:
    """Neighbouring positions alike from the start (Vaswani et al. 2017, section 3.5), so that a
    small model finds out early which words belong together; all are trained on from there."""
    number, width = positions.weight.shape
    rates = 10000.0 ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(number)[:, None] * rates
    positions.weight.copy_(rms * 2**0.5 * torch.cat([angles.sin(), angles.cos()], dim=1))
