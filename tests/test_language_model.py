"""The language model as a folder: what it lacks is added, and nothing else changes."""

import json
import shutil

import pytest
import torch
from conftest import PAIRS, TINY_MBART, run_tool, write_mbart50, write_texts
from sentencepiece import SentencePieceProcessor
from torch.nn.utils.rnn import pad_sequence

from comsl.errors import DataError
from comsl.inference import choose_checkpoint
from comsl.model.checkpoints import trained_checkpoint
from comsl.model.language_model import LanguageModel
from comsl.model.repetition import goes_round
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer


def test_a_missing_language_gets_a_token(tiny_lm, tokenizer, tmp_path):
    options = ["--language_model", tiny_lm, "--out", tmp_path / "lm", "--langs"]
    run_tool("add_languages", *options, "fr it en")
    assert len(Tokenizer(tmp_path / "lm")) == len(tokenizer)  # none is missing
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


def test_a_text_that_goes_round_in_circles_ends(tiny_lm, tokenizer):
    """Each row by itself, and no row that says a thing three times, or a short number."""
    row = torch.tensor
    rows = {
        "a" * 12: True, "a" * 11: False, "b" + "a" * 11: False, "xabcabcabcabc": True,
        "xabcabcabc": False, "abababababab": True, "abcabcabcabcx": False, "aaaabbbbcccc": False,
    }  # fmt: skip
    for text, expected in rows.items():
        tokens = row([[ord(letter) for letter in text], list(range(len(text)))])
        assert goes_round(tokens).tolist() == [expected, False], text
    model = LanguageModel(tiny_lm).eval()
    word, end = 40, model.config.eos_token_id
    model.mbart.final_logits_bias[0, word] = 1e3
    memory = Sequences(torch.zeros(1, 3, 32), row([3]))
    codes = row([tokenizer.code("en")])
    for beams in (1, 3):
        (generated,) = model.generate(memory, codes, beam_size=beams, max_tokens=100)
        assert generated[2:] == [word] * 12 + [end]


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


OTHER_SEARCH = {
    "early_stopping": True,
    "length_penalty": 3.0,
    "num_beams": 3,
    "max_length": 6,
    "no_repeat_ngram_size": 1,
    "repetition_penalty": 2.0,
    "forced_bos_token_id": 7,
    "forced_eos_token_id": 2,
    "decoder_start_token_id": 0,
}


def search(model: LanguageModel, tokenizer: Tokenizer, **settings) -> list[list[int]]:
    """Tokens of PAIRS' translations."""
    rows = [tokenizer.encode(source, lang) for lang in PAIRS for source, _ in PAIRS[lang]]
    lengths = torch.tensor([len(row) for row in rows])
    x = Sequences(pad_sequence([torch.tensor(row) for row in rows], batch_first=True), lengths)
    memory, _ = model.eval().encode(Sequences(model.embed(x.values), lengths))
    return model.generate(memory, torch.tensor([tokenizer.code("en")] * len(rows)), **settings)


def test_a_checkpoint_does_not_say_how_to_search(tiny_lm, tokenizer, tmp_path):
    """Whatever its configuration, or what Hugging Face keeps beside it, says of generation."""
    model = LanguageModel(tiny_lm)
    settings = {"max_tokens": 12, "length_penalty": 1.0, "early_stopping": False}
    expected = search(model, tokenizer, **settings)
    assert search(model, tokenizer, **settings | {"length_penalty": -3.0}) != expected
    other = tmp_path / "lm"
    shutil.copytree(tiny_lm, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | OTHER_SEARCH))
    assert search(LanguageModel(other), tokenizer, **settings) == expected
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    (other / "generation_config.json").write_text(json.dumps(ids | OTHER_SEARCH))
    assert search(LanguageModel(other), tokenizer, **settings) == expected
    loaded = LanguageModel(other, from_scratch=True)
    loaded.load_state_dict(model.state_dict())
    assert search(loaded, tokenizer, **settings) == expected


def test_generation_ends_every_row_at_its_own_limit(tiny_lm, tokenizer, monkeypatch):
    """Whatever its batch, and a row that was cut has no </s>."""
    none = "comsl.model.language_model.goes_round"
    monkeypatch.setattr(none, lambda tokens: torch.zeros(len(tokens), dtype=torch.bool))
    model = LanguageModel(tiny_lm).eval()
    with torch.no_grad():  # never the end by itself
        model.mbart.final_logits_bias[0, tokenizer.eos_id] = -1000.0
    rows = [tokenizer.encode(text, "fr") for text in ("Il pleut.", "La porte reste ouverte.")]
    code = tokenizer.code("en")

    def generate(rows: list[list[int]], **search) -> list[list[int]]:
        lengths = torch.tensor([len(row) for row in rows])
        values = torch.nn.utils.rnn.pad_sequence(map(torch.tensor, rows), batch_first=True)
        memory, _ = model.encode(Sequences(model.embed(values), lengths))
        found = model.generate(memory, torch.full_like(lengths, code), **search)
        return [row[1:] for row in found]

    for search in ({"beam_size": 1}, {"beam_size": 3}):
        found = generate(rows, **search)
        assert [len(row) for row in found] == [1 + 2 * len(row) + 50 for row in rows]
        assert not [row for row in found if tokenizer.eos_id in row]
        assert found == [generate([row], **search)[0] for row in rows]
    assert [len(row) for row in generate(rows, max_tokens=7)] == [8, 8]
    assert [len(row) for row in generate(rows, max_tokens=10**6, beam_size=1)] == [255, 255]


def test_interpolated_weights_are_the_model(tiny_lm, tmp_path):
    start = LanguageModel(tiny_lm).state_dict(prefix="language_model.")
    tuned = {name: weight + 1 for name, weight in start.items()}
    options = ["--model", tmp_path, "--start", tiny_lm]
    options += ["--out", tmp_path / "interpolated.pth", "--share"]
    others = {"adapter.weight": torch.ones(2)}  # of a composite model: as trained
    torch.save(tuned | others, tmp_path / "valid.bleu.ave.pth")
    torch.save(others, tmp_path / "valid.acc.ave.pth")  # by another criterion than the first
    criteria = [["valid", "bleu", "max"], ["valid", "acc", "max"]]
    (tmp_path / "config.yaml").write_text(json.dumps({"best_model_criterion": criteria}))
    for share in (0.25, 0.75):  # made again from what was fine-tuned, not from itself
        run_tool("interpolate", *options, share)
        chosen = torch.load(choose_checkpoint(tmp_path), weights_only=True)
        expected = {name: w + share for name, w in start.items()} | others
        torch.testing.assert_close(chosen, expected)
    (tmp_path / "valid.bleu.ave.pth").unlink()
    with pytest.raises(DataError, match="the training has not ended"):
        trained_checkpoint(tmp_path)
    refused = run_tool("interpolate", *options, 1.5, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: --share 1.5: ")


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
