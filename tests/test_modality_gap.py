"""CTC and the compared modality-gap methods (docs/how-it-works.md) against definitions."""

from itertools import groupby, pairwise, product
from types import SimpleNamespace

import pytest
import torch
import yaml
from conftest import ROOT
from test_model import OFF, build, gradients, single
from torchaudio.functional import forced_align, merge_tokens

from comsl.errors import DataError
from comsl.model import composite
from comsl.model.objectives import representation
from comsl.model.objectives.alignment import align, ctc, number_words
from comsl.sequences import Sequences

METHODS = {
    "const": {"w_const": 1.0},
    "waco": {"w_ctc": 0.3, "w_waco": 1.0},
    "mml": {"w_ctc": 0.3, "w_mml": 1.0},
}
BLANK = 0


@pytest.fixture
def batch(batch) -> dict:
    """Speech long enough for its transcript, but for the last utterance's."""
    generator = torch.Generator().manual_seed(4)
    batch["speech_lengths"] = torch.tensor([180, 230, 203, 20])
    batch["speech"] = torch.randn(4, 230, 16, generator=generator)
    return batch


def match(model, batch: dict) -> dict[str, torch.Tensor]:
    """The model's losses of a batch, sums over its utterances."""
    x = Sequences(batch["source"].clamp(min=0), batch["source_lengths"])
    speech = batch["speech"], batch["speech_lengths"]
    return model.compare_representations(x, model.embed_speech(*speech, x.values[:, 0]))


def spans(model, one: dict, frames: torch.Tensor) -> list[tuple[int, int]]:
    """Frames of each token of an utterance, from its first to the next one's; none if too few."""
    tokens = one["source"][:, 1:-1]
    if len(frames) < tokens.size(1):
        return []
    log_p = model.ctc_head(frames).log_softmax(-1).detach()[None]
    path, scores = forced_align(log_p, tokens, blank=model.tokenizer.pad_id)
    starts = [span.start for span in merge_tokens(path[0], scores[0], model.tokenizer.pad_id)]
    assert len(starts) == tokens.size(1)
    bounds = [0, *starts[1:], len(frames)]
    return list(pairwise(bounds))


def words(model, one: dict) -> list[list[int]]:
    """Places in x_1..x_M of the tokens of each word."""
    found = []
    for place, token in enumerate(one["source"][0, 1:-1].tolist()):
        if not found or model.tokenizer.backend.convert_ids_to_tokens(token).startswith("▁"):
            found.append([])
        found[-1].append(place)
    return found


def repeat_first(batch: dict) -> dict:
    """The batch with its first utterance said once more by another voice."""
    more = {k: v + v[:1] if k == "utt_id" else torch.cat([v, v[:1]]) for k, v in batch.items()}
    more["speech"][-1] *= -1
    return more


def contrast(pairs: list, temperature: float) -> torch.Tensor:
    """InfoNCE from its definition: speech of every pair against its text and the other texts."""

    def weight(speech, text):
        cosine = (speech * text).sum() / ((speech**2).sum() * (text**2).sum()).sqrt()
        return torch.exp(cosine / temperature)

    return -sum(
        torch.log(
            weight(speech, text)
            / sum(
                weight(speech, other_text)
                for other, (_, other_text, other_tokens) in enumerate(pairs)
                if other == own or other_tokens != tokens
            )
        )
        for own, (speech, text, tokens) in enumerate(pairs)
    )


def plain_loss(model, batch: dict, method: str) -> torch.Tensor:
    """Section 7 utterance by utterance, word by word, frame by frame; a sum over the batch."""
    sentences, word_pairs, distance = [], [], torch.zeros(())
    for row in range(len(batch["speech"])):
        one = single(batch, row)
        frames = model.adapter(Sequences(one["speech"], one["speech_lengths"])).values[0]
        text = model.language_model.embed(one["source"])[0, 1:-1]
        tokens = one["source"][0, 1:-1]
        sentences.append((frames.mean(0), text.mean(0), tokens.tolist()))
        if method == "const":
            continue
        bounds = spans(model, one, frames)
        for token, (start, end) in enumerate(bounds):
            for frame in frames[start:end]:
                distance = distance + ((frame - text[token]) ** 2).sum() / len(frame)
        for word in words(model, one) if bounds else []:
            spoken = torch.cat([frames[slice(*bounds[token])] for token in word])
            word_pairs.append((spoken.mean(0), text[word].mean(0), tokens[word].tolist()))
    if method == "mml":
        return distance
    return contrast(sentences, 0.02) if method == "const" else contrast(word_pairs, 0.2)


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_method_equals_its_formula(tiny_lm, tokenizer, batch, method, repeated):
    """Value and gradient, on a padded batch that holds an utterance too short to align; what says
    the same as another is not contrasted with it."""
    batch = repeat_first(batch) if repeated else batch
    model = build(tiny_lm, tokenizer, **(OFF | METHODS[method]))
    loss, expected = match(model, batch)[method], plain_loss(model, batch, method)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    ours, theirs = gradients(model, loss), gradients(model, expected)
    assert (ours - theirs).norm() < 1e-4 * theirs.norm()
    assert theirs.norm() > 0


def enumerate_paths(log_p: torch.Tensor, tokens: list[int]) -> tuple[torch.Tensor, list[int]]:
    """CTC from its definition: minus the log of the summed probability of all paths that
    collapse to the tokens; and the token, from 1, of each frame on the likeliest."""
    paths = [
        path
        for path in product({BLANK, *tokens}, repeat=len(log_p))
        if [label for label, _ in groupby(path) if label != BLANK] == tokens
    ]
    scores = torch.stack(
        [sum(log_p[frame, label] for frame, label in enumerate(path)) for path in paths]
    )
    alignment, token, last = [], 0, BLANK
    for label in paths[scores.argmax()]:
        token += label not in (BLANK, last)
        last = label
        alignment.append(max(token, 1))
    return -scores.logsumexp(0), alignment


def test_ctc_and_alignment_equal_an_enumeration_of_all_paths():
    """Different lengths, repeated tokens, garbage in the padding, transcripts that do not fit."""
    torch.manual_seed(0)
    transcripts = [[1, 2], [3, 3, 1], [2, 2, 2], [4]]
    frames = [6, 6, 4, 3]
    logits = torch.randn(4, 6, 5, requires_grad=True)
    log_p = Sequences(logits.log_softmax(-1), torch.tensor(frames))
    rows = torch.full((4, 5), 7)
    for row, tokens in zip(rows, transcripts, strict=True):
        row[1 : 1 + len(tokens)] = torch.tensor(tokens)
    x = Sequences(rows, torch.tensor([len(tokens) + 2 for tokens in transcripts]))

    expected, alignment = torch.zeros(()), torch.zeros(4, 6, dtype=torch.long)
    for row in (0, 1, 3):  # three times 2 needs five frames
        n = frames[row]
        loss, spoken = enumerate_paths(logits[row, :n].log_softmax(-1), transcripts[row])
        expected = expected + loss
        alignment[row, :n] = torch.tensor(spoken)
    loss = ctc(log_p, x, BLANK)
    torch.testing.assert_close(loss, expected)
    (ours,) = torch.autograd.grad(loss, logits)
    (theirs,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert torch.equal(align(log_p, x, BLANK), alignment)


def test_alignment_finds_known_boundaries():
    """Frames drawn from a known path, some of it noise: no boundary moves."""
    generator = torch.Generator().manual_seed(5)
    path = [0, 0, 5, 5, 0, 5, 7, 7, 7, 0, 0, 3, 0]
    spoken = [1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 4]
    logits = 0.5 * torch.randn(2, 20, 9, generator=generator)
    logits[1, range(13), path] += 4.0
    logits[0, range(20), [2] * 9 + [6] * 11] += 4.0
    x = Sequences(torch.tensor([[8, 2, 6, 1, 0, 0], [8, 5, 5, 7, 3, 1]]), torch.tensor([4, 6]))
    found = align(Sequences(logits.log_softmax(-1), torch.tensor([20, 13])), x, BLANK)
    assert found[1].tolist() == spoken + [0] * 7
    assert found[0].tolist() == [1] * 9 + [2] * 11


def test_words_are_those_between_spaces(tokenizer, batch):
    x = Sequences(batch["source"].clamp(min=0), batch["source_lengths"])
    starts = torch.tensor([tokenizer.word_starts(row) for row in x.values.tolist()])
    numbers = number_words(x, starts)
    for row, length, number in zip(x.values, x.lengths.tolist(), numbers.tolist(), strict=True):
        text = tokenizer.decode(row[:length].tolist())
        places = range(1, length - 1)
        found = [
            tokenizer.backend.decode(row[list(group)]).strip()
            for _, group in groupby(places, key=lambda place: number[place])
        ]
        assert found == text.split()
        assert [place for place, word in enumerate(number) if word] == list(places)


def test_in_a_script_without_spaces_every_token_is_a_word(tokenizer, monkeypatch):
    pieces = ["zh_CN", "▁", "我们", "喜欢", "パン", "▁Brot", "zeit", "。", "</s>"]
    stand_in = SimpleNamespace(convert_ids_to_tokens=lambda ids: [pieces[i] for i in ids])
    monkeypatch.setattr(tokenizer, "backend", stand_in)
    starts = tokenizer.word_starts(list(range(9)))
    assert starts == [False, True, True, True, True, True, False, False, False]


def test_an_utterance_gives_the_same_loss_alone_and_in_a_batch(tiny_lm, tokenizer, batch):
    """Contrastive losses excepted: theirs is made of the others."""
    model = build(tiny_lm, tokenizer, **(OFF | METHODS["mml"]))
    together = match(model, batch)
    alone = [match(model, single(batch, row)) for row in range(4)]
    for name in ("ctc", "mml"):
        expected = sum(losses[name] for losses in alone)
        torch.testing.assert_close(together[name], expected, rtol=1e-5, atol=1e-5)
    assert alone[3]["ctc"] == 0  # too short for its transcript
    assert alone[3]["mml"] == 0


def test_losses_are_weighted_and_divided_by_utterances(tiny_lm, tokenizer, batch):
    weights = {"w_ctc": 0.3, "w_const": 0.5, "w_waco": 0.7, "w_mml": 0.9}
    model = build(tiny_lm, tokenizer, **(OFF | weights | {"w_asr": 1.0}))
    loss, stats, _ = model(**batch)
    losses = match(model, batch)
    expected = sum(weights[f"w_{name}"] * value for name, value in losses.items()) / 4
    torch.testing.assert_close(loss - stats["loss_asr"][0], expected, rtol=1e-4, atol=1e-4)
    for name, value in losses.items():
        torch.testing.assert_close(stats[f"loss_{name}"][0], value / 4)


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("none", set()),
        ("cml", {"cml"}),
        ("const", {"const"}),
        ("ctc", {"ctc"}),
        ("waco", {"ctc", "waco"}),
        ("mml", {"ctc", "mml"}),
    ],
)
def test_a_configuration_turns_on_its_method_only(tiny_lm, tokenizer, batch, monkeypatch, name, on):
    """What is off is not called, and has no parameters."""
    used = {
        "const": ["sentence_contrast"],
        "ctc": ["ctc"],
        "waco": ["align", "number_words", "word_contrast"],
        "mml": ["align", "modality_distance"],
        "cml": ["choose_masked", "representation_distance"],
    }
    for function in {function for functions in used.values() for function in functions}:
        if not any(function in used[method] for method in on):
            module = representation if hasattr(representation, function) else composite
            monkeypatch.delattr(module, function)
    config = yaml.safe_load((ROOT / f"conf/modality_gap/{name}.yaml").read_text())
    model = build(tiny_lm, tokenizer, **config["model_conf"])
    losses = {key.removeprefix("loss_") for key in model(**batch)[1] if key.startswith("loss_")}
    assert losses == {"st", "asr", "mt"} | on
    assert (model.ctc_head is not None) == ("ctc" in on)
    components = {component for component, _ in model.named_children()}
    assert set(config.get("component_lr", {})) <= components


@pytest.mark.parametrize("method", ["waco", "mml"])
def test_a_method_that_aligns_needs_the_ctc_head(tiny_lm, tokenizer, method):
    with pytest.raises(DataError, match="set w_ctc"):
        build(tiny_lm, tokenizer, **{f"w_{method}": 1.0})
