"""The language model as a folder: what it lacks is added, and nothing else changes."""

import json

import torch
from conftest import PAIRS, TINY_MBART, run_tool, write_mbart50, write_texts
from sentencepiece import SentencePieceProcessor

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


def test_a_model_of_the_hub_speaks_in_sentencepieces_own_pieces(tmp_path):
    """Their numbers are fairseq's, one higher; the codes and the mask stand behind them."""
    texts = [text for pairs in PAIRS.values() for pair in pairs for text in pair]
    folder = write_mbart50(tmp_path / "hub", texts)
    pieces = SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    tokenizer = Tokenizer(folder)
    for text in texts:
        assert tokenizer.encode(text, "fr")[1:-1] == [i + 1 for i in pieces.encode(text)]
    assert tokenizer.code("ar") == len(pieces) + 1  # the first of them
    assert tokenizer.mask_id == len(tokenizer) - 1
    assert LanguageModel(folder).config.vocab_size == len(tokenizer)


def test_a_tokenizer_from_text_has_the_languages_that_it_is_for(tmp_path):
    data = write_texts(tmp_path / "data", repeat=20)
    (tmp_path / "size.json").write_text(json.dumps(TINY_MBART))
    options = ["--data", data, "--config", tmp_path / "size.json", "--vocab_size", 120]
    run_tool("train_tokenizer", *options, "--langs", "fr ca en", "--out", tmp_path / "lm")
    tokenizer = Tokenizer(tmp_path / "lm")
    assert tokenizer.code("ca") == len(tokenizer) - 1
    assert LanguageModel(tmp_path / "lm", from_scratch=True).config.vocab_size == len(tokenizer)
