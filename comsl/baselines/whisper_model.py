"""Whisper, encoder and decoder, to be trained on: the fine-tuned baseline (stage 8)."""

from dataclasses import dataclass

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import Tensor
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from comsl.baselines.whisper_decoding import MAX_TOKENS
from comsl.baselines.whisper_tokenizer import WhisperTokenizer
from comsl.encoders.whisper import attend
from comsl.errors import DataError
from comsl.model.language_model import Head
from comsl.model.objectives.likelihood import Group, likelihood
from comsl.sequences import Sequences, has_transcript

PROMPT = 4  # tokens: start, language, task, <|notimestamps|>


@dataclass(frozen=True)
class Heard:
    """What the decoder reads of a batch's speech: keys and values (B, T, d) of each block's
    cross-attention, and the mask (B, 1, 1, T), True where an utterance has frames."""

    projections: list[tuple[Tensor, Tensor]]
    mask: Tensor


class WhisperModel(AbsESPnetModel):
    """openai-whisper's model, its parameters unchanged, with the token cross-entropy of its prompts
    `[<|startoftranscript|>, <|code|>, <|translate|>, <|notimestamps|>]` (ST) and `<|transcribe|>`
    (ASR); but batch-invariant, on utterances of their real lengths.

    As in ComSLModel a loss is a sum over tokens, then the mean over utterances.

    whisper: the model whose decoder this one has; speech_encoder: its encoder, or cached states;
    w_st, w_asr: weights of the tasks, one that is 0 isn't computed; label_smoothing: in training;
    target_lang: language of the translations, which need not be the English that `<|translate|>`
    meant so far. DataError: a model of English alone, or no task.
    """

    def __init__(
        self,
        speech_encoder: AbsEncoder,
        whisper: Whisper,
        target_lang: str = "en",
        w_st: float = 1.0,
        w_asr: float = 0.0,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        if not whisper.is_multilingual:
            raise DataError("this Whisper knows English only: choose one without '.en'")
        self.weights = {task: w for task, w in (("st", w_st), ("asr", w_asr)) if w}
        if not self.weights:
            raise DataError("model_conf: w_st and w_asr are both 0, nothing would be learnt")
        self.speech_encoder = speech_encoder
        self.decoder = whisper.decoder
        self.dims = whisper.dims
        self.label_smoothing = label_smoothing
        self.target_lang = target_lang
        self.tokenizer = WhisperTokenizer()
        special = get_tokenizer(multilingual=True, num_languages=whisper.num_languages)
        self.prompts = {
            task: (special.sot, token, special.no_timestamps)
            for task, token in (("st", special.translate), ("asr", special.transcribe))
        }

    def forward(
        self,
        source: Tensor,
        source_lengths: Tensor,
        target: Tensor,
        target_lengths: Tensor,
        speech: Tensor,
        speech_lengths: Tensor,
        utt_id: list[str] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Loss, statistics and weight (the number of utterances) of a batch.

        source (B, M + 2), target (B, N + 2): `[<|code|>, tokens, <|endoftext|>]`, padding negative;
        speech: waveforms (B, samples) or encoder states (B, T, d), as the encoder takes them.
        DataError names an utterance whose text is longer than the decoder.
        """
        x = Sequences(source.clamp(min=0), source_lengths)
        y = Sequences(target.clamp(min=0), target_lengths)
        heard = self.listen(speech, speech_lengths)
        texts = {"st": y, "asr": x}
        groups = {}
        for task in self.weights:
            self._check(texts[task], utt_id)
            groups[task] = self.score(task, x.values[:, :1], texts[task], heard)
        coefficients = {f"ce_{task}": weight for task, weight in self.weights.items()}
        smoothing = self.label_smoothing if self.training else 0.0
        loss, terms = likelihood(list(groups.values()), self.head, coefficients, smoothing)
        loss = loss / len(source)
        stats = {name: value / len(source) for name, value in terms.items()}
        for task, group in groups.items():
            stats[f"ce_{task}_token"] = terms[f"ce_{task}"] / max(1, len(group.labels))
        stats["loss"] = loss.detach().clone()  # ESPnet divides the loss in place by accum_grad
        return loss, *force_gatherable((stats, len(source)), loss.device)

    @staticmethod
    def statistics(w_st: float = 1.0, w_asr: float = 0.0, **_) -> set[str]:
        """Names of what is logged, given the model's settings."""
        tasks = [task for task, weight in (("st", w_st), ("asr", w_asr)) if weight]
        return {"loss"} | {f"ce_{task}{kind}" for task in tasks for kind in ("", "_token")}

    def _check(self, text: Sequences, utt_id: list[str] | None) -> None:
        tokens = text.lengths - 2
        if tokens.max() > self.room:
            longest = int(tokens.argmax())
            name = utt_id[longest] if utt_id else f"{longest} of the batch"
            raise DataError(
                f"utterance {name} has a text of {int(tokens.max())} tokens, Whisper's decoder"
                f" takes {self.room}: shorten or remove it"
            )

    @property
    def room(self) -> int:
        """Tokens of text that the decoder takes after a prompt."""
        return len(self.decoder.positional_embedding) - PROMPT

    def listen(self, speech: Tensor, speech_lengths: Tensor) -> Heard:
        """Encode a batch's speech, and project it, once for all tasks and tokens."""
        states, lengths, _ = self.speech_encoder(speech, speech_lengths)
        attentions = [block.cross_attn for block in self.decoder.blocks]
        projections = [(attention.key(states), attention.value(states)) for attention in attentions]
        return Heard(projections, Sequences(states, lengths).mask[:, None, None, :])

    def score(self, task: str, code: Tensor, tokens: Sequences, heard: Heard) -> Group:
        """Teacher-forced decoder states of all tokens (B, L) but their language code.

        code (B, 1): the language that is spoken. An utterance without a transcript has none in ASR.
        """
        states = self.decode(task, code, tokens.values[:, 1:-1], heard)
        scored = tokens.mask[:, 1:]
        if task == "asr":
            scored = scored & has_transcript(tokens)[:, None]
        return Group({task: states[scored]}, tokens.values[:, 1:][scored])

    def decode(self, task: str, code: Tensor, text: Tensor, heard: Heard) -> Tensor:
        """Decoder states (B, 1 + L, d) after the prompt and after each token of text (B, L)."""
        decoder = self.decoder
        start, *ask = (torch.full_like(code, token) for token in self.prompts[task])
        tokens = torch.cat([start, code, *ask, text], dim=1)
        states = decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.size(1)]
        for block, (key, value) in zip(decoder.blocks, heard.projections, strict=True):
            # To openai-whisper any mask says "causal": padding, which comes last, is never seen.
            states = states + block.attn(block.attn_ln(states), mask=decoder.mask)[0]
            query = block.cross_attn.query(block.cross_attn_ln(states))
            states = states + attend(block.cross_attn, query, key, value, heard.mask)
            states = states + block.mlp(block.mlp_ln(states))
        return decoder.ln(states)[:, PROMPT - 1 :]

    @property
    def head(self) -> Head:
        """The embeddings, without a bias."""
        weight = self.decoder.token_embedding.weight
        return Head(weight, weight.new_zeros(len(weight)))

    @torch.inference_mode()
    def translate(
        self, source: Tensor, speech: Tensor, speech_lengths: Tensor, **_
    ) -> list[list[int]]:
        """Token ids of a batch's translations, chosen greedily: to follow a training by. What is
        scored is openai-whisper's own decoding (comsl.baselines.whisper_decoding)."""
        heard = self.listen(speech, speech_lengths)
        code, end = source[:, :1], self.tokenizer.eos_id
        text = code[:, :0]
        ended = torch.zeros_like(code, dtype=torch.bool)
        while text.size(1) < min(MAX_TOKENS, self.room) and not ended.all():
            states = self.decode("st", code, text, heard)[:, -1]
            best = self.head.log_softmax(states).argmax(-1, keepdim=True).masked_fill(ended, end)
            text, ended = torch.cat([text, best], dim=1), ended | (best == end)
        return text.tolist()

    def assemble(self) -> Whisper:
        """openai-whisper's model of the same modules; the encoder must be whole (not cached)."""
        whisper = Whisper(self.dims)
        whisper.encoder, whisper.decoder = self.speech_encoder.encoder, self.decoder
        return whisper.eval()

    def collect_feats(self, **batch: Tensor) -> dict[str, Tensor]:
        """Nothing to collect: stage 5 writes the shapes, and no statistics are needed."""
        return {}
