"""The language model as a folder: what it lacks is added, and nothing else changes."""

import torch
from conftest import run_tool

from comsl.language_model import LanguageModel
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer


def test_a_missing_language_gets_a_token(tiny_lm, tokenizer, tmp_path):
    options = ["--language_model", tiny_lm, "--out", tmp_path / "lm", "--langs"]
    run_tool("add_languages", *options, "fr it en")
    assert not (tmp_path / "lm").exists()
    run_tool("add_languages", *options, "ca fr cy")

    grown = Tokenizer(tmp_path / "lm")
    assert len(grown) == len(tokenizer) + 2
    assert {grown.code("ca"), grown.code("cy")} == {len(tokenizer), len(tokenizer) + 1}
    text = "Il pleut."
    assert grown.encode(text, "fr") == tokenizer.encode(text, "fr")
    assert grown.encode(text, "ca") == [len(tokenizer), *tokenizer.encode(text, "fr")[1:]]
    assert grown.decode(grown.encode(text, "ca")) == text

    old, new = LanguageModel(tiny_lm).eval(), LanguageModel(tmp_path / "lm").eval()
    assert new.mbart.lm_head.weight is new.mbart.get_input_embeddings().weight
    x = torch.tensor([tokenizer.encode(text, "fr")])
    batch = Sequences(x, torch.tensor([x.size(1)]))
    before, after = old.translate(batch, batch), new.translate(batch, batch)
    torch.testing.assert_close(before, after)
    assert new.head.log_softmax(after[0]).size(1) == len(grown)
    x[0, 0] = grown.code("ca")
    batch = Sequences(x, batch.lengths)
    assert not torch.allclose(new.translate(batch, batch), after)


def test_generation_continues_what_training_reads(tiny_lm, tokenizer):
    """Greedy search, against a whole pass of the decoder for every token."""
    model = LanguageModel(tiny_lm).eval()
    source, code = tokenizer.encode("Il pleut.", "fr"), tokenizer.code("en")
    x = Sequences(torch.tensor([source]), torch.tensor([len(source)]))
    memory, _ = model.encode(Sequences(model.embed(x.values), x.lengths))
    (generated,) = model.generate(memory, torch.tensor([code]), beam_size=1, max_tokens=8)

    tokens = [code]
    for _ in range(8):  # state i predicts token i: any token may stand for the last
        y = Sequences(torch.tensor([[*tokens, 0]]), torch.tensor([len(tokens) + 1]))
        tokens.append(int(model.head.log_softmax(model.decode(y, memory)[0, -1]).argmax()))
    assert generated[1:-1] == tokens[:-1]
    assert generated[0] == model.config.eos_token_id
