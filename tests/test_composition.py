"""Any speech encoder with any translation model: the promises of Whisper and mBART hold of each."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import PAIRS, run_tool, write_texts, write_whisper
from tiny_models import write_language_model, write_speech_encoder
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from comsl.corpora.kaldi import write_table
from comsl.inference import SpeechTranslator
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.sequences import Sequences
from comsl.tokenizer import Tokenizer

FAMILIES = ("mbart", "m2m_100", "nllb", "marian")
TEXT, TRANSLATION = PAIRS["fr"][0]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Family -> a translation model as it is published."""
    folder = tmp_path_factory.mktemp("published")
    return {family: write_language_model(family, folder / family) for family in FAMILIES}


@pytest.fixture(scope="module")
def language_models(published, tmp_path_factory):
    """The same with all tokens that ComSL needs (stage 3)."""
    folder = tmp_path_factory.mktemp("complete")
    for family, path in published.items():
        options = ["--language_model", path, "--langs", "fr it en te"]
        run_tool("add_languages", *options, "--out", folder / family)
    return {family: folder / family for family in FAMILIES}


def sequence(rows: list[list[int]]) -> Sequences:
    return Sequences(torch.tensor(rows), torch.tensor([len(row) for row in rows]))


@pytest.mark.parametrize(
    ("family", "source", "target"),
    [("m2m_100", "fr", "en"), ("nllb", "fra_Latn", "eng_Latn"), ("marian", None, None)],
)
def test_a_language_model_is_used_as_its_own_class_uses_it(family, source, target, language_models):
    """Tokens, states, logits and search, against transformers' own."""
    path = language_models[family]
    tokenizer, model = Tokenizer(path), LanguageModel(path).eval()
    theirs = AutoTokenizer.from_pretrained(path, src_lang=source, tgt_lang=target)
    network = AutoModelForSeq2SeqLM.from_pretrained(path).eval()
    x, y = tokenizer.encode(TEXT, "fr"), tokenizer.encode(TRANSLATION, "en")
    own = 0 if source else 1  # Marian knows no code
    assert x[own:] == theirs(TEXT)["input_ids"]
    assert y[own:] == theirs(text_target=TRANSLATION)["input_ids"]
    assert tokenizer.decode(x) == TEXT
    assert tokenizer.decode(y) == TRANSLATION
    for text, lang, ids in ((TEXT, "fr", x), (TRANSLATION, "en", y)):
        begins = [begin for begin, _ in tokenizer.offsets(text, lang)]
        assert begins == sorted(begins)
        assert tokenizer.lengths([text], [lang]) == [len(begins) + 2] == [len(ids)]
    inputs = {"input_ids": torch.tensor([x]), "attention_mask": torch.ones(1, len(x))}
    start, pad = network.config.decoder_start_token_id, network.config.pad_token_id
    decoder = torch.tensor([[start, *y[:-1]]])
    expected = network(**inputs, decoder_input_ids=decoder, output_hidden_states=True)
    memory, layer = model.encode(
        Sequences(model.embed(sequence([x]).values), torch.tensor([len(x)])), 1
    )
    torch.testing.assert_close(layer, expected.encoder_hidden_states[1])
    states = model.decode(sequence([y]), memory)
    log_p = model.head.log_softmax(states[0])
    torch.testing.assert_close(log_p, expected.logits[0].log_softmax(-1))
    (found,) = model.generate(memory, torch.tensor([y[0]]), beam_size=3, max_tokens=9)
    (wanted,) = network.generate(
        **inputs, decoder_start_token_id=start, forced_bos_token_id=y[0], bad_words_ids=[[pad]],
        num_beams=3, max_new_tokens=10, early_stopping=False,
    ).tolist()  # fmt: skip
    assert found[:10] == wanted[:10]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_language_model_gets_the_tokens_that_it_lacks(family, published, language_models):
    old, new = Tokenizer(published[family]), Tokenizer(language_models[family])
    assert new.mask_id is not None
    assert len({new.code(lang) for lang in ("fr", "it", "en", "te")}) == 4
    assert new.pieces([TEXT], ["fr"]) == old.pieces([TEXT], ["fr"])
    assert all(new.code(lang) == old.code(lang) for lang in old.languages())
    ids = new.encode(TEXT, "te")
    assert new.decode([new.eos_id, ids[0], new.mask_id, *ids[1:]]) == TEXT
    model = LanguageModel(language_models[family])
    assert len(new) <= model.config.vocab_size == len(model.head.bias)
    assert model.mbart.lm_head.weight is model.embeddings


def test_a_wrong_model_is_refused_in_one_line(language_models, speech_encoders, tmp_path):
    """Neither family of the one kind of model, nor of the other; a Marian into many languages, or
    with a vocabulary for each side."""
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5/config.json").write_text(json.dumps({"model_type": "t5"}))
    for name, file, setting in (
        ("many", "tokenizer_config.json", {"target_lang": "ROMANCE"}),
        ("two", "config.json", {"share_encoder_decoder_embeddings": False}),
    ):
        shutil.copytree(language_models["marian"], tmp_path / name)
        path = tmp_path / name / file
        path.write_text(json.dumps(json.loads(path.read_text()) | setting))
    language_model, speech_encoder = language_models["nllb"], speech_encoders["hubert"]
    others = {
        "add_languages": ["--langs", "fr"],
        "extract_features": ["--raw", tmp_path, "--sets", ""],
    }
    for tool, option, path in (
        ("add_languages", "--language_model", tmp_path / "t5"),
        ("add_languages", "--language_model", tmp_path / "many"),
        ("add_languages", "--language_model", tmp_path / "two"),
        ("add_languages", "--language_model", speech_encoder),
        ("extract_features", "--speech_encoder", language_model),
        ("extract_features", "--speech_encoder", "nobody/no-such-model"),
    ):
        options = others[tool]
        refused = run_tool(tool, option, path, *options, "--out", tmp_path / "out", check=False)
        assert refused.returncode == 1
        (line,) = refused.stderr.strip().splitlines()
        assert line.startswith("error: ")
        assert str(path) in line


# ---- pairs

PAIRINGS = [  # speech encoder, language model; the parts that LoRA trains
    ("whisper", "m2m_100", ()),
    ("whisper", "nllb", ("speech_encoder", "language_model")),
    ("wav2vec2-bert", "mbart", ("speech_encoder", "language_model")),
    ("wav2vec2-bert", "nllb", ()),
    ("hubert", "mbart", ()),
    ("hubert", "marian", ("language_model",)),
    ("hubert", "m2m_100", ("language_model",)),
]
CONFIG = {
    "speech_encoder": "whisper",  # the kind follows the model that is named
    "speech_encoder_conf": {"trainable_blocks": 1},
    "batch_type": "numel",
    "batch_bins": 250,
    "optim": "adamw",
    "optim_conf": {"lr": 1e-2},
    "best_model_criterion": [["valid", "ce_st", "min"]],
    "valid_bleu": False,
    "num_workers": 0,
    "use_matplotlib": False,
}


CACHED = {"speech_encoder": "cached", "speech_encoder_conf": {"input_size": 16}}


@pytest.fixture(scope="module")
def speech_encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    paths = {
        kind: write_speech_encoder(kind, folder / kind) for kind in ("wav2vec2-bert", "hubert")
    }
    return paths | {"whisper": write_whisper(folder / "whisper.pt")}


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """Utterance -> noise of its own length, in a file."""
    folder, random = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    names = [f"{lang}-{number:03d}" for lang in ("fr", "it") for number in range(4)]
    paths = {name: folder / f"{name}.flac" for name in names}
    for number, path in enumerate(paths.values()):
        soundfile.write(path, 0.1 * random.standard_normal(9000 + 1500 * number), 16000)
    return {name: str(path) for name, path in paths.items()}


def prepare(work, speech_encoder, language_model, waves, **config) -> None:
    """Sets and configurations as the stages before training leave them."""
    raw = work / "raw"
    (work / "joint.yaml").write_text(json.dumps(CONFIG | config))
    (work / "frozen.yaml").write_text(json.dumps(CONFIG | CACHED | config))
    for name in ("train", "dev"):
        write_table(write_texts(raw / name) / "wav.scp", waves)
    run_tool("token_lengths", "--language_model", language_model, raw / "train", raw / "dev")
    options = ["--sets", "train dev", "--speech_encoder", speech_encoder, "--silence", 0.1]
    run_tool("extract_features", "--raw", raw, "--out", work / "encoder", *options)


def train(
    work, speech_encoder, language_model, phase: str, name: str, epochs: int, *options, **how
):
    """A phase's training, as stage 6 calls it."""
    return run_tool(
        "train", "--config", work / f"{phase}.yaml", "--raw", work / "raw", "--train_set", "train",
        "--encoder", work / "encoder", "--language_model", language_model, "--teacher",
        language_model, "--speech_encoder_conf", f"model={speech_encoder}", "--speech_encoder_conf",
        "silence=0.1", "--output_dir", work / name, "--max_epoch", epochs, *options, **how,
    )  # fmt: skip


def weights(folder, epoch: int) -> dict:
    return torch.load(folder / f"{epoch}epoch.pth", weights_only=True)


@pytest.mark.parametrize(("kind", "family", "lora"), PAIRINGS)
def test_a_pair_trains_resumes_decodes_and_is_packed(
    kind, family, lora, speech_encoders, language_models, waves, tmp_path
):
    speech_encoder, language_model = speech_encoders[kind], language_models[family]
    pair = speech_encoder, language_model
    prepare(tmp_path, *pair, waves, lora_conf={part: {"rank": 2} for part in lora})
    start = ("--init_param", tmp_path / "frozen")
    train(tmp_path, *pair, "frozen", "frozen", 1)
    train(tmp_path, *pair, "joint", "joint", 2, *start)
    train(tmp_path, *pair, "joint", "killed", 1, *start)
    train(tmp_path, *pair, "joint", "killed", 2, *start, "--resume", "true")
    frozen, whole = weights(tmp_path / "frozen", 1), weights(tmp_path / "joint", 2)
    resumed = weights(tmp_path / "killed", 2)
    assert resumed.keys() == whole.keys() >= frozen.keys()
    for name, weight in whole.items():
        assert torch.equal(weight, resumed[name]), name
        if name.split(".")[0] in lora:
            assert "lora_" in name  # nothing that was not trained

    translator = SpeechTranslator.from_pretrained(tmp_path / "joint")
    assert not [name for name in translator.model.state_dict() if "lora" in name]
    check_alone_equals_batch(translator, list(waves.values())[:3])
    packed = tmp_path / "packed"
    run_tool("pack", "--model", tmp_path / "joint", "--out", packed)
    for path in (speech_encoder, language_model):  # a packed model needs neither
        path.rename(path.with_name("elsewhere"))
    try:
        clips = list(waves.values())
        texts = SpeechTranslator.from_pretrained(packed).translate(clips, src_lang="fr")
    finally:
        for path in (speech_encoder, language_model):
            path.with_name("elsewhere").rename(path)
    assert texts == translator.translate(clips, src_lang="fr")


def test_weights_of_another_pair_are_refused_in_one_line(
    speech_encoders, language_models, waves, tmp_path
):
    pair = speech_encoders["hubert"], language_models["m2m_100"]
    prepare(tmp_path, *pair, waves)
    train(tmp_path, *pair, "frozen", "frozen", 1)
    start = ("--init_param", tmp_path / "frozen")
    for other, phase, name, options in (
        ((pair[0], language_models["nllb"]), "joint", "joint", start),
        ((speech_encoders["wav2vec2-bert"], pair[1]), "joint", "joint", start),
        ((pair[0], language_models["nllb"]), "frozen", "frozen", ("--resume", "true")),
    ):
        refused = train(tmp_path, *other, phase, name, 2, *options, check=False)
        assert refused.returncode == 1
        assert refused.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'frozen'}")
        assert "Traceback" not in refused.stderr


def check_alone_equals_batch(translator: SpeechTranslator, paths: list[str]) -> None:
    """Loss of every objective, and translations."""
    model, tokenizer = translator.model, translator.tokenizer
    model.settings, inputs = Settings(alpha_mt=0.0), []
    rows = [(path, *pair) for path, pair in zip(paths, PAIRS["fr"], strict=False)]
    for path, x, y in rows:
        wave = torch.tensor(soundfile.read(path, dtype="float32")[0])
        inputs.append(
            (wave, torch.tensor(tokenizer.encode(x, "fr")), torch.tensor(tokenizer.encode(y, "en")))
        )

    def loss(which: slice) -> float:
        batch = {"utt_id": paths[which]}
        for name, *column in zip(("speech", "source", "target"), *inputs[which], strict=True):
            padded = torch.nn.utils.rnn.pad_sequence(column, batch_first=True, padding_value=-1)
            batch |= {name: padded, f"{name}_lengths": torch.tensor(list(map(len, column)))}
        return float(model(**batch)[0])

    with torch.no_grad():
        alone = [loss(slice(number, number + 1)) for number in range(len(paths))]
        assert loss(slice(None)) == pytest.approx(sum(alone) / len(alone), rel=1e-5)
    texts = translator.translate(paths, src_lang="fr")
    assert texts == [translator.translate(path, src_lang="fr") for path in paths]
