"""Whisper fine-tuned: the loss against openai-whisper's own forward; through all the tools."""

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import whisper
from conftest import PAIRS, run_tool, write_texts, write_whisper
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import get_tokenizer

from comsl.baselines.whisper_decoding import MAX_TOKENS, decode, encode
from comsl.baselines.whisper_model import WhisperModel
from comsl.baselines.whisper_tokenizer import WhisperTokenizer
from comsl.corpora.kaldi import read_table
from comsl.corpora.waves import read_wave
from comsl.encoders.whisper import WhisperEncoder
from comsl.encoders.whisper_weights import load_whisper, save_whisper
from comsl.errors import DataError
from comsl.evaluation.curves import read_run

TEXTS = [(lang, *pair) for lang, pairs in PAIRS.items() for pair in pairs[:2]]
SAMPLES = [16000, 24000, 8000, 20000]
TASKS = {"st": "translate", "asr": "transcribe"}


def wave(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper") / "whisper.pt")


def build(weights: Path, **settings) -> WhisperModel:
    model = WhisperModel(WhisperEncoder(str(weights)), load_whisper(str(weights)), **settings)
    return model.eval()


def batch_of(rows: list[int]) -> dict:
    """Utterances of TEXTS, padded."""
    tokenizer = WhisperTokenizer()
    batch = {"utt_id": [str(row) for row in rows]}
    for name, items, padding in (
        ("speech", [wave(SAMPLES[row]) for row in rows], 0.0),
        (
            "source",
            [torch.tensor(tokenizer.encode(TEXTS[row][1], TEXTS[row][0])) for row in rows],
            -1,
        ),
        ("target", [torch.tensor(tokenizer.encode(TEXTS[row][2], "en")) for row in rows], -1),
    ):
        batch[name] = pad_sequence(items, batch_first=True, padding_value=padding)
        batch[f"{name}_lengths"] = torch.tensor([len(item) for item in items])
    return batch


def plain_loss(model: WhisperModel, row: int, task: str, smoothing: float) -> torch.Tensor:
    """Sum over an utterance's tokens, by openai-whisper's decoder on the states of it alone."""
    lang, transcript, translation = TEXTS[row]
    tokenizer = get_tokenizer(multilingual=True, language=lang, task=TASKS[task])
    text = tokenizer.encode(" " + (translation if task == "st" else transcript))
    prompt = list(tokenizer.sot_sequence_including_notimestamps)
    states, _, _ = model.speech_encoder(wave(SAMPLES[row])[None], torch.tensor([SAMPLES[row]]))
    logits = model.decoder(torch.tensor([prompt + text]), states)[0, len(prompt) - 1 :]
    labels = torch.tensor([*text, tokenizer.eot])
    return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)


@pytest.mark.parametrize("training", [False, True])
def test_loss_and_gradient_are_those_of_openai_whispers_forward(weights, training):
    """ST and ASR, weighted, of four utterances in one batch; smoothed in training alone."""
    model = build(weights, w_st=0.7, w_asr=0.3, label_smoothing=0.1).train(training)
    loss, stats, weight = model(**batch_of([0, 1, 2, 3]))
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    smoothing = 0.1 if training else 0.0
    losses = {
        task: sum(plain_loss(model, row, task, smoothing) for row in range(4)) / 4 for task in TASKS
    }
    expected = 0.7 * losses["st"] + 0.3 * losses["asr"]
    expected.backward()
    torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-5)
    for task, value in losses.items():
        torch.testing.assert_close(stats[f"ce_{task}"][0], value.detach(), atol=1e-3, rtol=1e-5)
    assert weight == 4
    for name, parameter in model.named_parameters():
        error = (found[name] - parameter.grad).norm()
        assert error < 1e-3 * parameter.grad.norm(), name


def test_an_utterance_without_a_transcript_is_translated_alone(weights, monkeypatch):
    """It teaches nothing about transcripts."""
    model = build(weights, w_st=0.5, w_asr=0.5)
    lang, _, translation = TEXTS[0]
    monkeypatch.setattr(f"{__name__}.TEXTS", [(lang, "", translation)])
    loss, stats, _ = model(**batch_of([0]))
    expected = plain_loss(model, 0, "st", 0.0)
    torch.testing.assert_close(loss, 0.5 * expected)
    assert stats["ce_asr"] == 0


def test_an_utterance_is_the_same_alone_and_in_any_batch(weights):
    model = build(weights, w_asr=1.0)
    together = model.translate(**batch_of([0, 1, 2, 3]))
    assert len({tuple(ids) for ids in together}) > 1
    losses = []
    with torch.no_grad():
        whole = model(**batch_of([0, 1, 2, 3]))[0]
        for row in range(4):
            losses.append(model(**batch_of([row]))[0])
            (alone,) = model.translate(**batch_of([row]))
            assert together[row][: len(alone)] == alone
            assert set(together[row][len(alone) :]) <= {model.tokenizer.eos_id}
    torch.testing.assert_close(whole, torch.stack(losses).mean(), atol=1e-3, rtol=1e-5)


def test_tokens_are_those_of_whispers_own_transcripts():
    """A space before the first word, none in Japanese; a special token that is spelt is text."""
    tokenizer = WhisperTokenizer()
    own = get_tokenizer(multilingual=True)
    french = tokenizer.encode("Il pleut.", "fr")
    assert french[1:-1] == own.encode(" Il pleut.")
    assert own.decode(french[:1]) == "<|fr|>"
    assert tokenizer.decode([*french, french[-1]]) == "Il pleut."
    assert tokenizer.encode("雨です。", "ja")[1:-1] == own.encode("雨です。")
    spelt = tokenizer.encode("<|endoftext|>", "en")
    assert tokenizer.eos_id not in spelt[:-1]
    assert tokenizer.decode(spelt) == "<|endoftext|>"


def test_what_cannot_be_trained_is_refused(weights):
    with pytest.raises(DataError, match="w_st and w_asr are both 0"):
        build(weights, w_st=0)
    dims = ModelDimensions(80, 1500, 16, 2, 2, 51864, 448, 16, 2, 1)
    with pytest.raises(DataError, match="English only"):
        WhisperModel(WhisperEncoder(str(weights)), Whisper(dims))
    batch = batch_of([0, 1])
    batch["target"] = torch.full((2, 23), 7)
    batch["target_lengths"] = torch.tensor([22, 23])
    with pytest.raises(DataError, match="utterance 1 has a text of 21 tokens"):
        build(weights)(**batch)


# ---- the commands


@pytest.fixture(scope="module")
def data(tmp_path_factory, weights) -> Path:
    """A set of noise, with the states below the top block of its encoder."""
    folder = write_texts(tmp_path_factory.mktemp("raw") / "test_fr")
    utterances = read_table(folder / "utt2lang")
    wav_scp, shapes = {}, {}
    encoder = WhisperEncoder(str(weights)).eval()
    with kaldiio.WriteHelper(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp") as writer:
        for number, utterance in enumerate(utterances):
            samples = wave(8000 + 1000 * number)
            wav_scp[utterance] = f"{folder}/{utterance}.wav"
            soundfile.write(wav_scp[utterance], samples.numpy(), 16000)
            with torch.no_grad():
                states, _ = encoder.states_below(1, samples[None], torch.tensor([len(samples)]))
            writer(utterance, states[0].numpy().astype(np.float32))
            shapes[utterance] = states.size(1)
    (folder / "wav.scp").write_text("".join(f"{u} {path}\n" for u, path in wav_scp.items()))
    (folder / "speech_shape").write_text("".join(f"{u} {n}\n" for u, n in shapes.items()))
    return folder


@pytest.fixture(scope="module")
def trained(data, weights, tmp_path_factory) -> Path:
    """The experiment of two updates by the command, on cached states."""
    folder = tmp_path_factory.mktemp("trained")
    options = [
        *("--speech_encoder", "cached", "--speech_encoder_conf", f"model={weights}"),
        *("--speech_encoder_conf", "input_size=16", "--speech_encoder_conf", "top_blocks=1"),
        *("--model_conf", "w_asr=0.5", "--model_conf", "label_smoothing=0.1"),
        *("--output_dir", folder, "--batch_type", "unsorted", "--batch_size", "4"),
        *("--max_epoch", "1", "--num_workers", "0", "--use_matplotlib", "false"),
        *("--optim", "adamw", "--optim_conf", "lr=0.02"),
        *("--best_model_criterion", "valid,ce_st,min", "--keep_nbest_models", "1"),
    ]
    for split in ("train", "valid"):
        for item in (
            f"{data}/feats.scp,speech,kaldi_ark",
            f"{data}/text.src,source_text,text",
            f"{data}/text.tgt,target_text,text",
            f"{data}/utt2lang,lang,text",
        ):
            options += [f"--{split}_data_path_and_name_and_type", item]
        options += [f"--{split}_shape_file", data / "speech_shape"]
    run_tool("train_whisper", *options)
    return folder


def decode_alone(path: Path, samples: np.ndarray, lang: str, task: str) -> str:
    """openai-whisper's own decoding of one clip, as the encoder of the training hears it."""
    model = load_whisper(str(path))
    encoder = WhisperEncoder(str(path), silence=0.5).eval()
    with torch.no_grad():
        states, _, _ = encoder(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    model.dims.n_audio_ctx = states.size(1)  # by which it knows states
    search = {"beam_size": 2, "sample_len": MAX_TOKENS, "without_timestamps": True, "fp16": False}
    wanted = whisper.DecodingOptions(task=TASKS[task], language=lang, **search)
    return whisper.decode(model, states[0], wanted).text


def test_a_trained_model_goes_through_openai_whispers_format(trained, data, weights, tmp_path):
    """What was trained is in the file, what was not is the original's; and stage 8's decoding of it
    is that of the model in memory."""
    path = tmp_path / "fine-tuned.pt"
    run_tool("export_whisper", "--model", trained, "--out", path)
    learnt = torch.load(trained / "valid.ce_st.ave.pth", weights_only=True)
    learnt = {name.removeprefix("speech_encoder."): value for name, value in learnt.items()}
    original = load_whisper(str(weights)).state_dict()
    exported = whisper.load_model(str(path), device="cpu")
    for name, value in exported.state_dict().items():
        assert torch.equal(value, learnt.get(name, original[name])), name
    moved = {
        name
        for name in original
        if not torch.equal(original[name], learnt.get(name, original[name]))
    }
    assert {".".join(name.split(".")[:3]) for name in moved if "encoder." in name[:8]} == {
        "encoder.blocks.1",
        "encoder.ln_post.weight",
        "encoder.ln_post.bias",
    }
    assert "decoder.blocks.0.cross_attn.key.weight" in moved
    assert "bleu" in read_run(trained).valid

    options = ["--raw", data.parent, "--set", "test", "--langs", "fr"]
    options += ["--beam_size", "2", "--batch_size", "3"]
    options += ["--out", tmp_path / "decoded", "--whisper_model", path]
    run_tool("decode_whisper", *options)
    wav_scp = read_table(data / "wav.scp")
    features = encode(exported, [read_wave(*item) for item in wav_scp.items()])
    for task in TASKS:
        texts = read_table(tmp_path / f"decoded/test_fr/text.{task}", empty_ok=True)
        assert list(texts.values()) == decode(exported, features, "fr", task, beam_size=2)
        assert texts.keys() == wav_scp.keys()

    own_length = [*options, "--out", tmp_path / "own_length", "--silence", "0.5"]
    run_tool("decode_whisper", *own_length)
    for utterance, text in read_table(
        tmp_path / "own_length/test_fr/text.asr", empty_ok=True
    ).items():
        assert text == decode_alone(path, read_wave(utterance, wav_scp[utterance]), "fr", "asr")

    save_whisper(load_whisper(str(weights)), path)  # under the same name another model
    run_tool("decode_whisper", *options)
    assert read_table(tmp_path / "decoded/test_fr/text.asr", empty_ok=True) != texts
