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
