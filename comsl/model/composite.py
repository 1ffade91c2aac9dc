"""ComSL as an ESPnet model: it builds the branches once and adds up the objectives."""

import functools
from dataclasses import dataclass, replace

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.torch_utils.device_funcs import force_gatherable
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import nn

from comsl.errors import DataError
from comsl.model.adapter import Adapter
from comsl.model.language_model import Head, LanguageModel
from comsl.model.objectives.alignment import align, ctc, number_words
from comsl.model.objectives.cml import choose_masked, representation_distance
from comsl.model.objectives.contrast import sentence_contrast, word_contrast
from comsl.model.objectives.likelihood import Group, likelihood
from comsl.model.objectives.mml import modality_distance
from comsl.sequences import Sequences, concatenate, has_transcript, split, stack
from comsl.tokenizer import Tokenizer

# Branches that score the same.
SAME_TOKENS = (("mt", "st", "stm_y"), ("asr", "stm_x"), ("mtp",), ("st_alone",))


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
    branches: dict[str, Branch],
    losses: dict[str, torch.Tensor],
    terms: dict[str, torch.Tensor],
    utterances: int,
) -> dict[str, torch.Tensor]:
    """What is logged: objectives and terms an utterance, cross-entropies a token too.

    `st_alone` counts as `st`: the names must be the same in all processes, whatever their batch.
    """
    tokens = {name: branch.scored.sum() for name, branch in branches.items()}
    if "st_alone" in branches:
        tokens["st"] = tokens["st"] + tokens.pop("st_alone")
        terms = terms | {"ce_st": terms["ce_st"] + terms["ce_st_alone"]}
        del terms["ce_st_alone"]
    sums = {f"loss_{name}": value for name, value in losses.items()} | terms
    stats = {name: value / utterances for name, value in sums.items()}
    per_token = {name: terms[f"ce_{name}"] / n.clamp(min=1) for name, n in tokens.items()}
    return stats | {f"ce_{name}_token": value for name, value in per_token.items()}


def in_chosen_precision(forward):
    """A model's `forward` in bfloat16 where its `bf16` says so, on any device: ESPnet's own mixed
    precision is CUDA's alone, and its `--train_dtype` would store the weights so."""

    @functools.wraps(forward)
    def wrapped(self, *args, **batch):
        if not self.bf16:
            return forward(self, *args, **batch)
        with torch.autocast(next(self.parameters()).device.type, torch.bfloat16):
            return forward(self, *args, **batch)

    return wrapped


class ComSLModel(AbsESPnetModel):
    """Speech encoder, adapter and language blocks, trained on the objectives of method.md.

    An objective whose weight is 0 costs nothing: its branches are not computed. Without speech
    objectives (every weight but `w_mt` 0) this is the language model's fine-tuning, and
    speech_encoder and adapter may be None.

    w_*: weights of the objectives; w_const, w_waco, w_mml: of the compared modality-gap methods
    (section 7), the last two on an alignment by the CTC head, which w_ctc makes and trains;
    alpha_st, alpha_mt: shares of distillation in ST and in MT; w_erm, erm_layer, erm_squared:
    ERM's weight within CML, its encoder layer (`round(L / 3)` without one) and form;
    mask_probability: share of masked source tokens; speech_first: order of the concatenation;
    encoder_gradient_scale: factor on the gradients of the final states of the speech-only and
    text-only passes. teacher: the frozen language model of the MT regularisation, needed where
    `w_mt` and `alpha_mt` are not 0; target_lang: what it is trained to translate into. bf16: matrix
    products in bfloat16 by autocast, and the frozen teacher stored so; what trains, sums, softmax
    and losses stay in single precision.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        tokenizer: Tokenizer,
        speech_encoder: AbsEncoder | None = None,
        adapter: Adapter | None = None,
        teacher: LanguageModel | None = None,
        w_st: float = 0.35,
        w_asr: float = 0.35,
        w_mt: float = 0.2,
        w_cml: float = 0.1,
        w_ctc: float = 0.0,
        w_const: float = 0.0,
        w_waco: float = 0.0,
        w_mml: float = 0.0,
        alpha_st: float = 0.8,
        alpha_mt: float = 0.2,
        w_erm: float = 0.2,
        erm_layer: int | None = None,
        erm_squared: bool = False,
        mask_probability: float = 0.15,
        speech_first: bool = False,
        encoder_gradient_scale: float = 2.0,
        label_smoothing: float = 0.0,
        target_lang: str = "en",
        bf16: bool = False,
    ):
        super().__init__()
        self.weights = {"st": w_st, "asr": w_asr, "mt": w_mt, "cml": w_cml}
        self.weights |= {"ctc": w_ctc, "const": w_const, "waco": w_waco, "mml": w_mml}
        if not any(self.weights.values()):
            raise DataError("model_conf: every objective's weight is 0, nothing would be learnt")
        self.needs_speech = any(weight for name, weight in self.weights.items() if name != "mt")
        if self.needs_speech and adapter is None:
            raise DataError("all weights but w_mt need a speech encoder: set speech_encoder")
        if (w_waco or w_mml) and not w_ctc:
            raise DataError("w_waco and w_mml need the CTC head's alignment: set w_ctc")
        if w_mt and alpha_mt and teacher is None:
            raise DataError("alpha_mt needs the frozen language model: set teacher, or alpha_mt: 0")
        layers = language_model.config.encoder_layers
        if erm_layer is None:
            erm_layer = round(layers / 3)
        elif not 1 <= erm_layer <= layers:
            raise DataError(
                f"erm_layer: {erm_layer} is none of the encoder's layers, 1 to {layers}"
            )
        if not 0 < mask_probability <= 1:
            raise DataError(f"mask_probability: {mask_probability} is no share above 0")
        self.speech_encoder = speech_encoder
        self.adapter = adapter
        self.language_model = language_model
        # In a tuple: a registered teacher would be saved, and set to training mode, with us.
        self._teacher = (teacher.eval().requires_grad_(False),) if teacher else ()
        self.bf16 = bf16
        if bf16 and teacher:
            teacher.to(torch.bfloat16)
        self.tokenizer = tokenizer
        if w_ctc:
            self.ctc_head = nn.Linear(language_model.config.d_model, len(tokenizer))
        self.alpha_st, self.alpha_mt, self.w_erm = alpha_st, alpha_mt, w_erm
        self.erm_layer, self.erm_squared = erm_layer, erm_squared
        self.mask_probability = mask_probability
        self.speech_first = speech_first
        self.encoder_gradient_scale = encoder_gradient_scale
        self.label_smoothing = label_smoothing
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
        e_s = None
        if self.needs_speech:
            e_s = self.embed_speech(speech, speech_lengths, x.values[:, 0])
        branches, erm = self.build_branches(x, y, e_s, utt_id)
        branches = leave_out_untranscribed(branches, x)
        taught = None
        if self.weights["mt"] and self.alpha_mt:
            states, head = self.teach(x, y, teacher, teacher_lengths)
            taught = states[branches["mt"].scored], head
        groups = self.decode(branches, taught)
        # The loss is linear in its terms: their slopes are known before they are.
        nothing = {f"{term}_{name}": torch.zeros(()) for name in branches for term in ("ce", "kd")}
        nothing["erm"] = torch.zeros(())
        slopes = torch.func.grad(lambda terms: self.total(self.objectives(terms)))(nothing)
        smoothing = self.label_smoothing if self.training else 0.0
        loss, terms = likelihood(groups, self.language_model.head, slopes, smoothing)
        if erm is not None:
            loss = loss + slopes["erm"].to(loss) * erm
            terms["erm"] = erm.detach()
        matched = {} if e_s is None else self.match_modalities(x, e_s)
        loss = loss + self.total(matched)

        # Sums over tokens and frames, then the mean over the utterances of the batch.
        loss = loss / len(source)
        losses = self.objectives(nothing | terms) | {k: v.detach() for k, v in matched.items()}
        stats = statistics(branches, losses, terms, len(source))
        stats["loss"] = loss.detach().clone()  # ESPnet divides the loss in place by accum_grad
        # Vectors of one element: what ESPnet's averaging over processes takes.
        return loss, *force_gatherable((stats, len(source)), loss.device)

    def objectives(self, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The objectives that are on, from their terms: `ce_<branch>`, `kd_<branch>`, `erm`."""
        losses = {}
        if self.weights["mt"]:
            losses["mt"] = self.mix(self.alpha_mt, "mt", terms)
        if self.weights["st"]:
            losses["st"] = self.mix(self.alpha_st, "st", terms) + terms.get("ce_st_alone", 0.0)
        if self.weights["asr"]:
            losses["asr"] = terms["ce_asr"]
        if self.weights["cml"]:
            stm = terms["ce_stm_x"] + self.mix(self.alpha_st, "stm_y", terms)
            losses["cml"] = (stm + terms["ce_mtp"]) / 3 + self.w_erm * terms["erm"]
        return losses

    def mix(self, alpha: float, branch: str, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        """`(1 - a) CE + a KD` of a branch: MT with its regularisation, ST and STM with decoder
        distribution matching."""
        return (1 - alpha) * terms[f"ce_{branch}"] + alpha * terms[f"kd_{branch}"]

    def total(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        """The weighted sum of the objectives."""
        return sum(self.weights[name] * loss for name, loss in losses.items())

    def build_branches(
        self,
        x: Sequences,
        y: Sequences,
        e_s: Sequences | None,
        utt_id: list[str] | None,
    ) -> tuple[dict[str, Branch], torch.Tensor | None]:
        """The branches that some objective needs, and ERM where CML is on."""
        w, branches = self.weights, {}
        if w["mt"] or (self.alpha_st and (w["st"] or w["cml"])):
            branches["mt"] = Branch(y, self.encode_text(x))
        if not (w["st"] or w["asr"] or w["cml"]):
            return branches, None
        h_s, layer_s = self.encode_speech(e_s)
        if w["st"]:
            branches["st"] = Branch(y, h_s)
        if w["asr"]:
            branches["asr"] = Branch(x, h_s)
        if not w["cml"]:
            return branches, None
        masked = choose_masked(x, self.mask_probability, None if self.training else utt_id)
        h_mix_x, h_mix_s, layer_mix_s = self.encode_mixed(x, masked, e_s)
        branches["stm_x"] = Branch(x, h_mix_s)
        branches["stm_y"] = Branch(y, h_mix_s)
        branches["mtp"] = Branch(x, h_mix_x, masked)
        # Position 0 is the language code: only frames are matched.
        matched = e_s.mask[:, 1:] & has_transcript(x)[:, None]
        erm = representation_distance(
            layer_s[:, 1:], layer_mix_s.values[:, 1:], matched, self.erm_squared
        )
        return branches, erm

    def match_modalities(self, x: Sequences, e_s: Sequences) -> dict[str, torch.Tensor]:
        """CTC and the modality-gap methods that are on (sections 4 and 7), between the adapter's
        output and the embedded transcript."""
        w, losses, blank = self.weights, {}, self.tokenizer.pad_id
        frames = Sequences(e_s.values[:, 1:], e_s.lengths - 1)  # position 0 is the language code
        if w["const"] or w["waco"] or w["mml"]:
            text = Sequences(self.language_model.embed(x.values), x.lengths)
        if w["const"]:
            losses["const"] = sentence_contrast(frames, text)
        if w["ctc"]:
            log_p = self.ctc_head(frames.values).log_softmax(-1, dtype=torch.float32)
            log_p = Sequences(log_p, frames.lengths)
            losses["ctc"] = ctc(log_p, x, blank)
        if w["waco"] or w["mml"]:
            alignment = align(log_p, x, blank)
        if w["waco"]:
            starts = [self.tokenizer.word_starts(row) for row in x.values.tolist()]
            words = number_words(x, torch.tensor(starts, device=x.values.device))
            losses["waco"] = word_contrast(frames.values, text.values, alignment, words)
        if w["mml"]:
            losses["mml"] = modality_distance(frames.values, text.values, alignment)
        return losses

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
        layer = self.erm_layer if self.weights["cml"] else None
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
        order = (1, 0) if self.speech_first else (0, 1)
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
        tokens = stack([branch.tokens for branch in branches.values()])
        memory = stack([branch.memory for branch in branches.values()])
        states = self.language_model.decode(tokens, memory).chunk(len(branches))
        scored = {
            name: state[:, : branch.scored.size(1)][branch.scored]
            for state, (name, branch) in zip(states, branches.items(), strict=True)
        }
        groups = []
        for names in SAME_TOKENS:
            members = {name: scored[name] for name in names if name in scored}
            if members:
                labels = branches[next(iter(members))].labels
                groups.append(Group(members, labels, teacher if "mt" in members else None))
        return groups

    @torch.no_grad()
    def teach(
        self, x: Sequences, y: Sequences, cached: torch.Tensor | None, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, Head]:
        """What gives the frozen teacher's `p_theta'(y | x)`: its states (B, N + 2, d), its head.

        DataError: the `cached` states (stage 5) are of other texts.
        """
        (teacher,) = self._teacher
        teacher.to(x.values.device)
        states = teacher.translate(x, y) if cached is None else cached
        if cached is not None and not torch.equal(lengths, y.lengths):
            raise DataError("the teacher's cached states are of other texts: run stage 5 again")
        return states.to(teacher.head.weight.dtype), teacher.head

    def scale_gradient(self, states: Sequences) -> Sequences:
        """The same states, whose gradient is multiplied by `encoder_gradient_scale`."""
        if states.values.requires_grad and self.encoder_gradient_scale != 1:
            states.values.register_hook(lambda gradient: gradient * self.encoder_gradient_scale)
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
        task = "st" if self.weights["st"] else "mt"
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
