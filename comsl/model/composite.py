"""ComSL as an ESPnet model: it builds the branches once and adds up the objectives."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import nn

from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.model.language_model import Head, LanguageModel
from comsl.model.objectives.cml import choose_masked, matched_layer, representation_distance
from comsl.model.objectives.likelihood import Group, likelihood
from comsl.model.objectives.representation import REPRESENTATION_LOSSES, Modalities
from comsl.model.settings import Settings
from comsl.model.teacher import Teacher
from comsl.sequences import Sequences, concatenate, has_transcript, split, stack
from comsl.tokenizer import Tokenizer

# Branches that score the same.
SAME_TOKENS = (("mt", "st", "stm_y"), ("asr", "stm_x"), ("mtp",), ("st_alone",), ("text",))


@dataclass(frozen=True)
class Branch:
    """One pass of the decoder over `tokens` (B, L) given encoder states `memory` (B, S, d).

    chosen: (B, L) bool, the tokens to score; without it all but the language code.
    """

    tokens: Sequences
    memory: Sequences
    chosen: torch.Tensor | None = None

    @property
    def scored(self) -> torch.Tensor:
        """(B, L) bool."""
        if self.chosen is not None:
            return self.chosen
        mask = self.tokens.mask
        mask[:, 0] = False
        return mask

    @property
    def labels(self) -> torch.Tensor:
        """The n scored tokens, (n,)."""
        return self.tokens.values[self.scored]


def leave_out_untranscribed(branches: dict[str, Branch], x: Sequences) -> dict[str, Branch]:
    """Without a transcript an utterance is scored in ST alone, and there by cross-entropy alone, as
    the branch `st_alone`: MT, which teaches ST, has nothing to read."""
    transcribed = has_transcript(x)[:, None]
    if transcribed.all():
        return branches
    kept = {name: replace(b, chosen=b.scored & transcribed) for name, b in branches.items()}
    if st := branches.get("st"):
        kept["st_alone"] = replace(st, chosen=st.scored & ~transcribed)
    return kept


def statistics(
    settings: Settings,
    branches: dict[str, Branch],
    terms: dict[str, torch.Tensor],
    utterances: int,
) -> dict[str, torch.Tensor]:
    """What is logged but the loss: `settings.statistics`, of the objectives that the batch has.

    `st_alone` counts as `st`: the names must be the same in all processes, whatever their batch.
    """
    sums = {
        f"loss_{name}": sum(share * terms[term] for term, share in parts.items() if term in terms)
        for name, parts in settings.objectives.items()
        if parts.keys() & terms.keys()
    }
    tokens = {name: branch.scored.sum() for name, branch in branches.items()}
    if "st_alone" in branches:
        tokens["st"] = tokens["st"] + tokens.pop("st_alone")
        terms = terms | {"ce_st": terms["ce_st"] + terms["ce_st_alone"]}
    names = settings.statistics
    stats = {name: value / utterances for name, value in (sums | terms).items() if name in names}
    per_token = {name: terms[f"ce_{name}"] / n.clamp(min=1) for name, n in tokens.items()}
    return stats | {f"ce_{name}_token": value for name, value in per_token.items()}


def in_chosen_precision(forward):
    """A model's `forward` in bfloat16 where its settings say `bf16`, on any device: ESPnet's own
    mixed precision is CUDA's alone, and its `--train_dtype` would store the weights so."""

    @functools.wraps(forward)
    def wrapped(self, *args, **batch):
        if not self.settings.bf16:
            return forward(self, *args, **batch)
        with torch.autocast(next(self.parameters()).device.type, torch.bfloat16):
            return forward(self, *args, **batch)

    return wrapped


class ComSLModel(AbsESPnetModel):
    """Speech encoder, adapter and language blocks, trained on the objectives of
    docs/how-it-works.md.

    An objective whose weight is 0 costs nothing: its branches are not computed. Without speech
    objectives (every weight but `w_mt` 0) this is the language model's fine-tuning, and
    speech_encoder and adapter may be None. A batch without speech, beside others with it, trains MT
    alone, by cross-entropy alone, as the objective `text`.

    teacher: of the MT regularisation, needed where `w_mt` and `alpha_mt` are not 0; target_lang:
    what the model is trained to translate into; languages, longest: of the speech that it is
    trained on, and its seconds, if known. DataError: parts and settings do not fit.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        tokenizer: Tokenizer,
        speech_encoder: AbsEncoder | None = None,
        adapter: Adapter | None = None,
        teacher: Teacher | None = None,
        settings: Settings | None = None,
        target_lang: str = "en",
        languages: Sequence[str] = (),
        longest: float | None = None,
    ):
        super().__init__()
        self.languages, self.longest = languages, longest
        settings = settings or Settings()
        self.settings = settings
        self.coefficients = settings.coefficients
        self.branches = settings.branches
        self.representation_losses = {
            name: row.loss for name, row in REPRESENTATION_LOSSES.items() if settings.weights[name]
        }
        self.needs_speech = settings.objectives.keys() != {"mt"}
        if self.needs_speech and adapter is None:
            raise DataError("all weights but w_mt need a speech encoder: set speech_encoder")
        if "kd_mt" in self.coefficients and teacher is None:
            raise DataError("alpha_mt needs the frozen language model: set teacher, or alpha_mt: 0")
        layers = language_model.config.encoder_layers
        self.erm_layer = settings.erm_layer
        if self.erm_layer is None:
            self.erm_layer = matched_layer(layers)
        if not 1 <= self.erm_layer <= layers:
            raise DataError(
                f"erm_layer: {self.erm_layer} is not one of the encoder's layers, 1 to {layers}"
            )
        self.speech_encoder = speech_encoder
        self.adapter = adapter
        self.language_model = language_model
        self.teacher = teacher
        self.tokenizer = tokenizer
        self.ctc_head = None
        if settings.w_ctc:
            self.ctc_head = nn.Linear(language_model.config.d_model, len(tokenizer))
        self.target_lang = target_lang

    @in_chosen_precision
    def forward(
        self,
        source: torch.Tensor,
        source_lengths: torch.Tensor,
        target: torch.Tensor,
        target_lengths: torch.Tensor,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        teacher: torch.Tensor | None = None,
        teacher_lengths: torch.Tensor | None = None,
        utt_id: list[str] | None = None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Loss, statistics and weight (the number of utterances) of a batch.

        source (B, M + 2), target (B, N + 2): `[code, tokens, </s>]`, padding negative; a source
        without tokens is that of an utterance without a transcript, which trains ST alone;
        speech: waveforms (B, samples) or encoder states (B, T, width), as the encoder takes them;
        teacher: the frozen teacher's decoder states (B, N + 2, d), where they are cached;
        utt_id: in validation the masks of CML depend on it alone.
        """
        x = Sequences(source.clamp(min=0), source_lengths)
        y = Sequences(target.clamp(min=0), target_lengths)
        e_s = erm = taught = None
        if self.needs_speech and speech is None:
            branches = {"text": Branch(y, self.encode_text(x))}
        else:
            if self.needs_speech:
                e_s = self.embed_speech(speech, speech_lengths, x.values[:, 0])
            branches, erm = self.build_branches(x, y, e_s, utt_id)
            branches = leave_out_untranscribed(branches, x)
        if "mt" in branches and "kd_mt" in self.coefficients:
            states, head = self.teacher(x, y, teacher, teacher_lengths)
            taught = states[branches["mt"].scored], head
        groups = self.decode(branches, taught)
        smoothing = self.settings.label_smoothing if self.training else 0.0
        loss, terms = likelihood(groups, self.language_model.head, self.coefficients, smoothing)
        others = {} if erm is None else {"erm": erm}
        if e_s is not None:
            others |= self.compare_representations(x, e_s)
        loss = loss + sum(self.coefficients[name] * value for name, value in others.items())

        # Sums over tokens and frames, then the mean over the utterances of the batch.
        loss = loss / len(source)
        terms |= {name: value.detach() for name, value in others.items()}
        stats = statistics(self.settings, branches, terms, len(source))
        stats["loss"] = loss.detach().clone()  # ESPnet divides the loss in place by accum_grad
        # Vectors of one element: what ESPnet's averaging over processes takes.
        return loss, *force_gatherable((stats, len(source)), loss.device)

    def build_branches(
        self,
        x: Sequences,
        y: Sequences,
        e_s: Sequences | None,
        utt_id: list[str] | None,
    ) -> tuple[dict[str, Branch], torch.Tensor | None]:
        """The branches that the loss needs, and ERM where it counts."""
        needed, branches = self.branches, {}
        if "mt" in needed:
            branches["mt"] = Branch(y, self.encode_text(x))
        if not needed & {"st", "asr", "mtp"}:
            return branches, None
        h_s, layer_s = self.encode_speech(e_s)
        if "st" in needed:
            branches["st"] = Branch(y, h_s)
        if "asr" in needed:
            branches["asr"] = Branch(x, h_s)
        if "mtp" not in needed:
            return branches, None
        settings = self.settings
        utt_id = None if self.training else utt_id
        masked = choose_masked(x, settings.mask_probability, utt_id)
        h_mix_x, h_mix_s, layer_mix_s = self.encode_mixed(x, masked, e_s)
        branches["stm_x"] = Branch(x, h_mix_s)
        branches["stm_y"] = Branch(y, h_mix_s)
        branches["mtp"] = Branch(x, h_mix_x, masked)
        if "erm" not in self.coefficients:
            return branches, None
        # Position 0 is the language code: only frames are matched.
        matched = e_s.mask[:, 1:] & has_transcript(x)[:, None]
        erm = representation_distance(
            layer_s[:, 1:], layer_mix_s.values[:, 1:], matched, settings.erm_squared
        )
        return branches, erm

    def compare_representations(self, x: Sequences, e_s: Sequences) -> dict[str, torch.Tensor]:
        """The representation losses that are on, between the adapter's output and the embedded
        transcript: sums over the batch."""
        frames = Sequences(e_s.values[:, 1:], e_s.lengths - 1)  # position 0 is the language code
        modalities = Modalities(x, frames, self.language_model, self.tokenizer, self.ctc_head)
        return {name: loss(modalities) for name, loss in self.representation_losses.items()}

    def embed_speech(
        self, speech: torch.Tensor, speech_lengths: torch.Tensor, code: torch.Tensor
    ) -> Sequences:
        """`E_s = [emb(code); adapter(whisper(s))]`, (B, 1 + T', d); code (B,) token ids."""
        states, lengths, _ = self.speech_encoder(speech, speech_lengths)
        frames = self.adapter(Sequences(states, lengths))
        code = Sequences(self.language_model.embed(code[:, None]), torch.ones_like(lengths))
        return concatenate(code, frames)

    def encode_speech(self, e_s: Sequences) -> tuple[Sequences, torch.Tensor]:
        """`enc(E_s)` (B, 1 + T', d), and the states after ERM's layer."""
        layer = self.erm_layer if "erm" in self.coefficients else None
        states, layer_states = self.language_model.encode(e_s, layer)
        return self.scale_gradient(states), layer_states

    def encode_text(self, x: Sequences) -> Sequences:
        """`enc(E_x)`, (B, M + 2, d)."""
        e_x = Sequences(self.language_model.embed(x.values), x.lengths)
        return self.scale_gradient(self.language_model.encode(e_x)[0])

    def encode_mixed(
        self, x: Sequences, masked: torch.Tensor, e_s: Sequences
    ) -> tuple[Sequences, Sequences, Sequences]:
        """`enc(E_mix)` of masked text and speech: text part, speech part, speech at ERM's layer."""
        embedded = self.language_model.embed(x.values.masked_fill(masked, self.tokenizer.mask_id))
        parts = [Sequences(embedded, x.lengths), e_s]
        order = (1, 0) if self.settings.speech_first else (0, 1)
        first, second = (parts[i] for i in order)
        states, layer_states = self.language_model.encode(
            concatenate(first, second), self.erm_layer
        )
        lengths = first.lengths, second.lengths
        h_mix, h_layer = split(states.values, *lengths), split(layer_states, *lengths)
        return h_mix[order[0]], h_mix[order[1]], h_layer[order[1]]

    def decode(
        self, branches: dict[str, Branch], teacher: tuple[torch.Tensor, Head] | None
    ) -> list[Group]:
        """Decoder states of the scored tokens of every branch, by one call of the decoder."""
        passes = {name: branch for name, branch in branches.items() if name != "st_alone"}
        tokens = stack([branch.tokens for branch in passes.values()])
        memory = stack([branch.memory for branch in passes.values()])
        chunks = self.language_model.decode(tokens, memory).chunk(len(passes))
        states = dict(zip(passes, chunks, strict=True))
        scored = {
            name: states[name.removesuffix("_alone")][:, : branch.scored.size(1)][branch.scored]
            for name, branch in branches.items()
        }
        groups = []
        for names in SAME_TOKENS:
            members = {name: scored[name] for name in names if name in scored}
            if members:
                labels = branches[next(iter(members))].labels
                groups.append(Group(members, labels, teacher if "mt" in members else None))
        return groups

    def scale_gradient(self, states: Sequences) -> Sequences:
        """The same states, whose gradient is multiplied by `encoder_gradient_scale`."""
        scale = self.settings.encoder_gradient_scale
        if states.values.requires_grad and scale != 1:
            states.values.register_hook(lambda gradient: gradient * scale)
        return states

    def translate(
        self,
        source: torch.Tensor,
        source_lengths: torch.Tensor,
        target: torch.Tensor,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        **_,
    ) -> list[list[int]]:
        """Token ids of a batch's translations, chosen greedily: of its speech where the model
        learns ST, else of its texts."""
        task = "st" if "st" in self.branches else "mt"
        x = Sequences(source.clamp(min=0), source_lengths)
        return self.generate(task, target[:, 0], x, speech, speech_lengths, beam_size=1)

    @torch.inference_mode()
    def generate(
        self,
        task: str,
        codes: torch.Tensor,
        x: Sequences,
        speech: torch.Tensor | None = None,
        speech_lengths: torch.Tensor | None = None,
        **search,
    ) -> list[list[int]]:
        """Token ids of every utterance, by beam search in the language of `codes` (B,).

        task: `st` or `asr`, from speech (of x only the language code is read), or `mt`, from x;
        search: what `LanguageModel.generate` takes.
        """
        if task == "mt":
            memory = self.encode_text(x)
        else:
            e_s = self.embed_speech(speech, speech_lengths, x.values[:, 0])
            memory, _ = self.encode_speech(e_s)
        return self.language_model.generate(memory, codes, **search)

    def collect_feats(self, **batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Nothing to collect: stage 5 writes the shapes, and no statistics are needed."""
        return {}
