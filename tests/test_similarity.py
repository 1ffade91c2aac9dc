"""Similarity of speech and text states, and its way into the report."""

import numpy as np
import pytest
import torch
import yaml
from conftest import PAIRS, run_tool
from synthetic_set import write_raw

from comsl import report
from comsl.adapter import Adapter
from comsl.errors import DataError
from comsl.inference import SpeechTranslator
from comsl.language_model import LanguageModel
from comsl.model import ComSLModel
from comsl.sequences import Sequences
from comsl.similarity import SECONDS, compare
from comsl.speech_encoder import WhisperEncoder, num_frames

ENCODER = {"dims": {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 1}}


@pytest.fixture
def model(tiny_lm, tokenizer) -> ComSLModel:
    torch.manual_seed(2)
    parts = LanguageModel(tiny_lm), tokenizer, WhisperEncoder(**ENCODER), Adapter(16, 32)
    return ComSLModel(*parts, alpha_mt=0.0)


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
    found = compare(SpeechTranslator(model), wave, text, "it", layer)
    assert "".join(found.tokens).replace("▁", " ").strip() == text
    positions = -(-num_frames(len(wave), 0.5) // 4)
    assert found.matrix.shape == (len(found.tokens), positions)
    assert positions * SECONDS == pytest.approx(2.0, abs=SECONDS)  # 1.5 s and 0.5 s of silence
    np.testing.assert_allclose(found.matrix, plain(model, wave, text, "it", layer), atol=1e-5)


def test_a_layer_that_there_is_not(model, wave):
    with pytest.raises(DataError, match="layer 3: the encoder has 2"):
        compare(SpeechTranslator(model), wave, "Il pleut.", "fr", 3)


def test_the_tool_adds_pictures_to_a_report_that_is_there(model, tiny_lm, tmp_path):
    """Stage 10 after stage 9: pictures as files and inside index.html, those of an earlier model
    gone from both, all else in the page as it was."""
    experiment, out, raw = tmp_path / "experiment", tmp_path / "report", tmp_path / "raw"
    experiment.mkdir()
    torch.save(model.state_dict(), experiment / "valid.ce_st.ave.pth")
    config = {"language_model": str(tiny_lm), "language_model_conf": {}, "teacher": None}
    config |= {"speech_encoder": "whisper", "speech_encoder_conf": ENCODER}
    config |= {"speech_adapter_conf": {}, "model_conf": {"alpha_mt": 0.0}, "target_lang": "en"}
    (experiment / "config.yaml").write_text(yaml.safe_dump(config))
    write_raw(raw)
    out.mkdir()
    (out / "similarity_old.png").write_bytes(b"old")
    run = {"command": "./run.sh"} | dict.fromkeys(("date", "commit", "machine"), "x")
    tables = [report.Table("BLEU", ["system", "es"], [["comsl", 1.0]])]
    report.write_html(out / "index.html", "A report", tables, [], run | {"versions": {}})
    page = (out / "index.html").read_text("utf-8")
    assert "transcript: old" in page

    run_tool(
        "similarity", "--model", experiment, "--raw", raw, "--langs", "es it", "--out", out
    )  # fmt: skip
    utterances = [f"{lang}_speaker-{number}" for lang in ("es", "it") for number in (0, 1)]
    with np.load(out / "similarity.npz") as matrices:
        assert sorted(matrices) == utterances
        assert all(abs(matrices[key]).max() <= 1.001 for key in matrices)
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert pictures == [f"similarity_{utterance}.png" for utterance in utterances]
    new = (out / "index.html").read_text("utf-8")
    assert new.count("data:image/png") == 4
    assert "transcript: old" not in new
    begin, end = report.PICTURES
    assert new.partition(begin)[0] == page.partition(begin)[0]
    assert new.partition(end)[2] == page.partition(end)[2]


def test_bad_input_of_the_tool(tmp_path):
    failed = run_tool(
        "similarity", "--model", tmp_path, "--raw", tmp_path, "--langs", "es", "--out", tmp_path,
        check=False,
    )  # fmt: skip
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {tmp_path}/test_es/wav.scp: no such file")
