"""Settings of the composite model, `model_conf` of a training (docs/how-it-works.md)."""

from dataclasses import dataclass, make_dataclass

from comsl.errors import DataError
from comsl.model.objectives.representation import REPRESENTATION_LOSSES


@dataclass(frozen=True)
class Weights:
    """Of the objectives in the loss. One that is 0 is off, and costs nothing. w_text: of MT on
    batches that have no speech."""

    w_st: float = 0.35
    w_asr: float = 0.35
    w_mt: float = 0.2
    w_cml: float = 0.1
    w_text: float = 0.0


# `w_ctc`, `w_const` ...: one that is added to the table has its weight.
RepresentationWeights = make_dataclass(
    "RepresentationWeights",
    [(f"w_{name}", float, 0.0) for name in REPRESENTATION_LOSSES],
    frozen=True,
)


@dataclass(frozen=True)
class Distillation:
    """Shares of distillation: in ST and STM_y, and in MT."""

    alpha_st: float = 0.8
    alpha_mt: float = 0.2


@dataclass(frozen=True)
class CrossModality:
    """Of CML. w_erm, erm_layer, erm_squared: ERM's weight, its encoder layer (without one that of
    `matched_layer`) and its form; mask_probability: share of masked source tokens; speech_first:
    order of the concatenation."""

    w_erm: float = 0.2
    erm_layer: int | None = None
    erm_squared: bool = False
    mask_probability: float = 0.15
    speech_first: bool = False


@dataclass(frozen=True)
class Computation:
    """encoder_gradient_scale: factor on the gradients of the final states of the speech-only and
    text-only passes; label_smoothing: in training; bf16: matrix products in bfloat16 by autocast,
    and the frozen teacher stored so; what trains, sums, softmax and losses stay in single
    precision."""

    encoder_gradient_scale: float = 2.0
    label_smoothing: float = 0.0
    bf16: bool = False


@dataclass(frozen=True)
class Settings(Weights, RepresentationWeights, Distillation, CrossModality, Computation):
    """All of them. DataError: they contradict each other."""

    def __post_init__(self):
        for name, loss in REPRESENTATION_LOSSES.items():
            if loss.aligns and self.weights[name] and not self.w_ctc:
                raise DataError(f"w_{name} needs the CTC head's alignment: set w_ctc")
        if not 0 < self.mask_probability <= 1:
            raise DataError(f"mask_probability: {self.mask_probability} is not a share above 0")

    @property
    def weights(self) -> dict[str, float]:
        """Objective -> its weight in the loss."""
        names = ("st", "asr", "mt", "cml", "text", *REPRESENTATION_LOSSES)
        return {name: getattr(self, f"w_{name}") for name in names}

    @property
    def shares(self) -> dict[str, dict[str, float]]:
        """Objective -> its terms, each with its share of it: the formulas of docs/how-it-works.md.

        `ce_<branch>`, `kd_<branch>`: of a pass of the decoder; an utterance without a transcript is
        scored in ST alone, by cross-entropy alone, as the branch `st_alone`.
        """
        a_s, a_t = self.alpha_st, self.alpha_mt
        shares = {
            "asr": {"ce_asr": 1.0},
            "mt": {"ce_mt": 1 - a_t, "kd_mt": a_t},
            "st": {"ce_st": 1 - a_s, "kd_st": a_s, "ce_st_alone": 1.0},
            "cml": {
                "ce_stm_x": 1 / 3,
                "ce_stm_y": (1 - a_s) / 3,
                "kd_stm_y": a_s / 3,
                "ce_mtp": 1 / 3,
                "erm": self.w_erm,
            },
            "text": {"ce_text": 1.0},
        }
        return shares | {name: {name: 1.0} for name in REPRESENTATION_LOSSES}

    @property
    def objectives(self) -> dict[str, dict[str, float]]:
        """Those of `shares` that are on, without terms that have no share."""
        return {
            name: {term: share for term, share in terms.items() if share}
            for name, terms in self.shares.items()
            if self.weights[name]
        }

    @property
    def coefficients(self) -> dict[str, float]:
        """Term -> its coefficient in the loss, of all that have one."""
        return {
            term: self.weights[name] * share
            for name, terms in self.objectives.items()
            for term, share in terms.items()
        }

    @property
    def branches(self) -> set[str]:
        """Passes of the decoder that the loss needs: those that it scores, and MT where it teaches
        the others."""
        terms = self.coefficients.keys()
        scored = {term[3:] for term in terms if term.startswith(("ce_", "kd_"))} - {"st_alone"}
        return scored | ({"mt"} if terms & {"kd_st", "kd_stm_y"} else set())

    @property
    def statistics(self) -> set[str]:
        """Names of what training logs: loss, objectives and terms an utterance, cross-entropies a
        token too."""
        names = {"loss"} | {f"loss_{name}" for name in self.objectives}
        for branch in self.branches:
            names |= {f"ce_{branch}", f"ce_{branch}_token"}
        return names | {t for t in self.coefficients if t == "erm" or t.startswith("kd_")}
