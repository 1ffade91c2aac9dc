"""Similarity of speech and text states, the number that ranks models, and their way into the
report."""

import json

import numpy as np
import pytest
import torch
import yaml
from conftest import PAIRS, run_tool
from synthetic_set import write_raw

from comsl.corpora.kaldi import read_table
from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError
from comsl.evaluation import report
from comsl.evaluation.similarity import Similarity, average, compare, find_spans
from comsl.evaluation.word_alignment import Word, write_ctm
from comsl.inference import SpeechTranslator
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.sequences import Sequences

ENCODER = {"dims": {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 1}}


@pytest.fixture
def model(tiny_lm, tokenizer) -> ComSLModel:
    torch.manual_seed(2)
    parts = LanguageModel(tiny_lm), tokenizer, WhisperEncoder(**ENCODER), Adapter(16, 32)
    return ComSLModel(*parts, settings=Settings(alpha_mt=0.0))


@pytest.fixture
def wave() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(24000).astype(np.float32)


@torch.no_grad()
def plain(model, wave, text, lang, layer) -> np.ndarray:
    """Cosines one by one, from the parts of the model."""
    ids = torch.tensor([model.tokenizer.encode(text, lang)])
    states, lengths, _ = model.speech_encoder(torch.tensor(wave)[None], torch.tensor([len(wave)]))
    frames = model.adapter(Sequences(states, lengths)).values
    mbart = model.language_model.mbart
    embed = mbart.get_input_embeddings()

    def layer_states(embeddings):
        return mbart.model.encoder(
            inputs_embeds=embeddings, output_hidden_states=True
        ).hidden_states[layer][0]

    speech = layer_states(torch.cat([embed(ids[:, :1]), frames], dim=1))[1:]
    words = layer_states(embed(ids))[1:-1]
    return np.array([[float(w @ s / (w.norm() * s.norm())) for s in speech] for w in words])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_cosine_of_every_token_and_position(model, wave, layer):
    text, _ = PAIRS["it"][1]
    found = compare(SpeechTranslator(model), wave, text, [], "it", layer)
    assert "".join(found.tokens).replace("▁", " ").strip() == text
    positions = -(-model.speech_encoder.num_states(len(wave)) // 4)
    assert found.matrix.shape == (len(found.tokens), positions)
    assert found.seconds == 0.08
    assert positions * 0.08 == pytest.approx(2.0, abs=0.08)  # 1.5 s and 0.5 s of silence
    np.testing.assert_allclose(found.matrix, plain(model, wave, text, "it", layer), atol=1e-5)


def test_a_layer_that_there_is_not(model, wave):
    with pytest.raises(DataError, match="layer 3: the encoder has 2"):
        compare(SpeechTranslator(model), wave, "Il pleut.", [], "fr", 3)


def words_of(text: str, seconds: float) -> list[Word]:
    """The words of a text, punctuation apart as Whisper has it, spread evenly over the seconds."""
    texts = text.replace(",", " ,").replace(".", " .").replace("?", " ?").split()
    step = seconds / len(texts)
    return [Word(text, i * step, (i + 1) * step) for i, text in enumerate(texts)]


def test_spans_are_those_of_the_words_that_tokens_are_of(tokenizer):
    """Letter by letter: a token has the time of the words of its letters, punctuation none."""
    text = "Domani andiamo al  mare, con gli amici."
    words = words_of(text, 8.0)
    ids = tokenizer.encode(text, "it")[1:-1]
    tokens = tokenizer.backend.convert_ids_to_tokens(ids)
    spans = find_spans(tokens, tokenizer.offsets(text, "it"), text, words)
    said = [word for word in words if word.text.isalpha()]
    expected, number = [], -1
    for token in tokens:
        number += token.startswith("▁")
        letters = token.replace("▁", "")
        expected.append((said[number].start, said[number].end) if letters.isalpha() else None)
    assert spans == expected
    assert None in spans
    assert {span for span in spans if span} == {(word.start, word.end) for word in said}


def test_a_token_across_words_has_the_time_of_both():
    """As in a script without spaces; a lone `▁` is not said, whatever offset it has."""
    words = [Word("你", 0.1, 0.3), Word("好吗", 0.3, 0.8), Word("。", 0.8, 1.2)]
    tokens, offsets = ["▁", "你好", "吗", "。"], [(0, 1), (0, 2), (2, 3), (3, 4)]
    spans = find_spans(tokens, offsets, "你好吗。", words)
    assert spans == [None, (0.1, 0.8), (0.3, 0.8), None]
    assert find_spans(tokens, offsets, "你好吗。", []) == [None] * 4
    with pytest.raises(DataError, match="not those of '你好。'"):
        find_spans(tokens[:2], offsets[:2], "你好。", words)


def test_means_pair_by_pair():
    """Against their definition; a position in silence counts in neither."""
    generator = np.random.default_rng(1)
    spans = [(0.0, 0.5), (0.0, 0.5), None, (0.6, 1.3), (1.3, 1.31)]  # the last has no position
    wave = generator.standard_normal(30000).astype(np.float32)
    wave[9000:16000] = 0  # 0.5625 to 1.0 s
    matrix = generator.uniform(-1, 1, (5, 28))
    aligned, unaligned = [], []
    for row, span in enumerate(spans):
        for position in range(28):
            middle = position * 0.08
            first = max(0, round((middle - 0.04) * 16000))
            piece = wave[first : round((middle + 0.04) * 16000)]
            own = [s[0] <= middle < s[1] for s in spans[:2] + spans[3:4]]
            if span is None or row == 4 or not any(own) or not piece.any():
                continue
            pairs = aligned if span[0] <= middle < span[1] else unaligned
            pairs.append(matrix[row, position])
    found = Similarity(list("abcde"), matrix, spans, wave, 0.08)
    assert len(aligned) == 2 * 7 + 4  # 0 to 0.48 s twice, 1.04 to 1.28 s once
    assert found.means() == pytest.approx((np.mean(aligned), np.mean(unaligned)))
    assert Similarity(["a"], matrix[:1], spans[:1], wave, 0.08).means() is None


def test_models_alike_in_all_but_the_alignment_are_told_apart():
    """Text states equal to those of the speech of their words score 1, shuffled ones 0; what all
    states have in common changes nothing."""
    spans = [(0.4 * row - 0.04, 0.4 * row + 0.36) for row in range(6)]  # five positions each
    wave = np.ones(16000 * 3, np.float32)
    ideal = np.repeat(np.eye(6), 5, axis=1)
    names = list("abcdef")
    matrices = {"same": ideal, "other": np.roll(ideal, 5, axis=1), "nearer": 0.5 + 0.5 * ideal}
    values = {key: Similarity(names, m, spans, wave, 0.08).means() for key, m in matrices.items()}
    table = {key: {"u": value} for key, value in values.items()}
    difference = average(table)["difference"]
    assert difference["same"] == pytest.approx(1)
    assert difference["nearer"] == pytest.approx(0.5)
    assert difference["other"] == pytest.approx(-0.2)


def test_average_counts_utterances_alike():
    found = average({"fr": {"a": (0.5, 0.1), "b": None}, "it": {"c": (0.2, 0.2), "d": (0.8, 0.3)}})
    assert found["utterances"] == {"fr": 1, "it": 2, "all": 3}
    assert found["aligned"] == {"fr": 0.5, "it": 0.5, "all": 0.5}
    assert found["unaligned"] == {"fr": 0.1, "it": 0.25, "all": 0.2}
    assert found["difference"] == {"fr": 0.4, "it": 0.25, "all": 0.3}


def test_a_set_of_one_word_each_has_a_table_without_means():
    nothing = average({"fr": {"b": None}}) | {"set": "test", "layer": 1}
    assert report.similarity_table(nothing).rows[0] == ["utterances", 0]
    assert report.similarity_table(nothing).rows[3] == ["difference", ""]


def write_experiment(folder, model, tiny_lm) -> None:
    """What a training leaves, as far as using the model goes."""
    folder.mkdir()
    torch.save(model.state_dict(), folder / "valid.ce_st.ave.pth")
    config = {"language_model": str(tiny_lm), "language_model_conf": {}, "teacher": None}
    config |= {"speech_encoder": "whisper", "speech_encoder_conf": ENCODER}
    config |= {"speech_adapter_conf": {}, "model_conf": {"alpha_mt": 0.0}, "target_lang": "en"}
    config["best_model_criterion"] = [["valid", "ce_st", "min"]]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_alignment(raw, folder) -> None:
    for source in raw.glob("test_*"):
        texts = read_table(source / "text.src")
        words = {key: words_of(text, 1.0) for key, text in texts.items()}
        write_ctm(folder / source.name / "words.ctm", words)


def test_the_tool_adds_to_a_report_that_is_there(model, tiny_lm, tmp_path):
    """Stage 10 after stage 9: pictures of two models, and numbers of the whole set, as files and
    inside index.html, those of an earlier model gone from both, all else in the page as it was."""
    out, raw = tmp_path / "report", tmp_path / "raw"
    write_experiment(tmp_path / "none", model, tiny_lm)
    write_experiment(tmp_path / "cml", model, tiny_lm)
    write_raw(raw)
    write_alignment(raw, tmp_path / "alignment")
    out.mkdir()
    (out / "similarity_old.png").write_bytes(b"old")
    run = {"command": "./run.sh"} | dict.fromkeys(("date", "commit", "machine"), "x")
    tables = [report.Table("BLEU", ["system", "es"], [["comsl", 1.0]])]
    report.write_html(out / "index.html", "A report", tables, [], run | {"versions": {}})
    page = (out / "index.html").read_text("utf-8")
    assert "transcript: old" in page

    run_tool(
        "similarity", "--model", tmp_path / "cml", "--compare_with", tmp_path / "none",
        "--raw", raw, "--alignment", tmp_path / "alignment", "--langs", "es it",
        "--out", tmp_path / "cml/similarity",
    )  # fmt: skip
    run_tool(
        "draw_similarity",
        "--similarity",
        tmp_path / "cml/similarity",
        "--langs",
        "es it",
        "--out",
        out,
    )
    utterances = [f"{lang}_speaker-{number}" for lang in ("es", "it") for number in (0, 1)]
    with np.load(out / "similarity.npz") as matrices:
        assert sorted(matrices) == utterances
        assert all(abs(matrices[key]).max() <= 1.001 for key in matrices)
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert pictures == [f"similarity_{utterance}.png" for utterance in utterances]
    results = json.loads((out / "similarity.json").read_text())
    assert (results["set"], results["layer"]) == ("test", 1)
    assert results["utterances"] == {"es": 5, "it": 5, "all": 10}
    new = (out / "index.html").read_text("utf-8")
    assert new.count("data:image/png") == 4
    assert "transcript: old" not in new
    row = new[new.index(">difference<") :].split("</tr>")[0]
    assert f"{results['difference']['all']:.3f}" in row
    begin, end = report.PICTURES
    assert new.partition(begin)[0] == page.partition(begin)[0]
    assert new.partition(end)[2] == page.partition(end)[2]


def test_bad_input_of_the_tool(tmp_path):
    def complaint() -> str:
        failed = run_tool(
            "similarity", "--model", tmp_path, "--raw", tmp_path / "raw", "--langs", "es",
            "--alignment", tmp_path / "alignment", "--out", tmp_path, check=False,
        )  # fmt: skip
        assert failed.returncode == 1
        return failed.stderr

    assert complaint().startswith(f"error: {tmp_path}/raw/test_es/wav.scp: no such file")
    write_raw(tmp_path / "raw")
    path = tmp_path / "alignment/test_es/words.ctm"
    assert complaint().startswith(f"error: {path}: no such file")
    write_alignment(tmp_path / "raw", tmp_path / "alignment")
    path.write_text(path.read_text("utf-8") + "es_speaker-9 1 0.0\n", "utf-8")
    assert f"{path}:" in complaint()
