"""What the tests share: a tiny mBART with its tokenizer, and batches of random utterances."""

import importlib
import io
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")

PAIRS = {
    "fr": [
        ("Le train part à huit heures.", "The train leaves at eight o'clock."),
        ("Nous mangeons du pain frais.", "We are eating fresh bread."),
        ("La porte reste ouverte la nuit.", "The door stays open at night."),
        ("Il pleut.", "It is raining."),
    ],
    "it": [
        ("Il gatto dorme sulla sedia.", "The cat sleeps on the chair."),
        ("Domani andiamo al mare con gli amici.", "Tomorrow we go to the sea with friends."),
        ("Chi ha chiuso la finestra?", "Who closed the window?"),
        ("La minestra è calda.", "The soup is hot."),
    ],
}

# Of MBartConfig: 2 + 2 layers, width 32.
TINY_MBART = dict(
    d_model=32,
    encoder_layers=2,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=64,
    decoder_ffn_dim=64,
    max_position_embeddings=256,
    dropout=0.1,
    init_std=0.2,
    scale_embedding=True,
)


# Whole recipes and trainings by several processes begin first: none is left over at the end.
LONGEST = ("recipe", "covost2_recipe", "corpus_recipes", "target_language", "distributed", "driver")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = [f"test_{name}.py" for name in LONGEST]
    items.sort(key=lambda item: [item.path.name == file for file in files], reverse=True)


@dataclass
class Outcome:
    """What a command leaves, in the names of subprocess.CompletedProcess."""

    returncode: int
    stdout: str
    stderr: str


def run_tool(tool: str, *options, check: bool = True) -> Outcome:
    """`python -m comsl.bin.<tool>` from the repository's top, but in this process, without another
    start of Python and of imports. What a process of its own adds, test_commands.py tests."""
    outcome = call(importlib.import_module(f"comsl.bin.{tool}").main, *options)
    assert not check or outcome.returncode == 0, outcome.stderr[-3000:]
    return outcome


def run_process(tool: str, *options) -> subprocess.CompletedProcess:
    """The same in a process of its own, for what depends on that."""
    command = [sys.executable, "-m", f"comsl.bin.{tool}", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def call(main: Callable[[], None], *options) -> Outcome:
    """Call a command's `main` as if these options were typed."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    argv, handlers, level = sys.argv, logging.root.handlers, logging.root.level
    sys.argv, logging.root.handlers = [main.__module__, *map(str, options)], []
    try:
        with redirect_stdout(out), redirect_stderr(err), chdir(ROOT):
            main()
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.argv, logging.root.handlers = argv, handlers
        logging.root.setLevel(level)
    return Outcome(status, out.getvalue(), err.getvalue())


def write_texts(folder: Path, repeat: int = 1) -> Path:
    """A text-only Kaldi-style folder of PAIRS."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (f"{lang}-{i:03d}", lang, source, target)
        for lang, pairs in PAIRS.items()
        for i, (source, target) in enumerate(pairs * repeat)
    ]
    for column, name in enumerate(("utt2lang", "text.src", "text.tgt"), start=1):
        (folder / name).write_text("".join(f"{row[0]} {row[column]}\n" for row in rows))
    return folder


def write_whisper(path: Path) -> Path:
    """A random Whisper of width 16 in OpenAI's format, whose texts have at most 20 tokens."""
    from whisper.model import ModelDimensions, Whisper

    from comsl.encoders.whisper_weights import save_whisper

    torch.manual_seed(0)
    model = Whisper(ModelDimensions(80, 1500, 16, 2, 2, 51865, 24, 16, 2, 1))
    torch.nn.init.normal_(model.decoder.positional_embedding)  # left as memory was, upstream
    for block in model.decoder.blocks:  # what is heard must matter
        torch.nn.init.normal_(block.cross_attn.value.weight, std=2)
        torch.nn.init.normal_(block.cross_attn.out.weight, std=2)
    save_whisper(model, path)
    return path


@pytest.fixture(scope="session")
def warm_top(tmp_path_factory) -> Iterator[Path]:
    """The repository's top by links, with a Python in its path.sh that need not import much."""
    top = tmp_path_factory.mktemp("top")
    for name in ("run.sh", "cmd.sh", "local", "conf", "egs2"):
        (top / name).symlink_to(ROOT / name)
    (top / "bin").mkdir()
    (top / "path.sh").write_text(f". {ROOT}/path.sh && PATH={top}/bin:$PATH\n")
    warm = f"{sys.executable} -S -E {ROOT}/tests/warm_python.py {top}/socket"
    (top / "bin/python").write_text(
        f'#!/bin/sh\ncase $2 in comsl.bin.*) exec {warm} "$@" ;; esac\nexec {sys.executable} "$@"\n'
    )
    (top / "bin/python").chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(top / "socket"))
        listener.listen()
        command = [sys.executable, ROOT / "tests/warm_python.py", str(listener.fileno())]
        files = [listener.fileno()]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, pass_fds=files)
    with server:  # ends as its input does
        yield top


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory) -> Path:
    """A folder with a random mBART (2 + 2 layers, width 32) and a tokenizer of PAIRS' pieces."""
    from comsl.model.language_model import LanguageModel
    from comsl.tokenizer import Tokenizer

    folder = tmp_path_factory.mktemp("lm")
    config = folder / "config.in.json"
    config.write_text(json.dumps(TINY_MBART))
    data = write_texts(folder / "data", repeat=20)
    run_tool(
        "train_tokenizer", "--data", data, "--config", config, "--vocab_size", 120,
        "--out", folder / "lm",
    )  # fmt: skip
    torch.manual_seed(2)
    mbart = LanguageModel(folder / "lm", from_scratch=True).mbart
    # What it writes is to be words: bytes by chance are none, and a length penalty below 1 would
    # have a random model say nothing.
    mbart.final_logits_bias[0, 2] = -0.7
    mbart.get_input_embeddings().weight.data[Tokenizer(folder / "lm").mask_id + 1 :] = 0
    mbart.save_pretrained(folder / "lm")
    return folder / "lm"


def write_mbart50(folder: Path, texts: list[str]) -> Path:
    """A random tiny mBART in the layout of facebook/mbart-large-50-many-to-many-mmt: with
    SentencePiece's own file and none of a tokenizer, and how to generate in its configuration."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES

    from comsl.model.language_model import LanguageModel

    folder.mkdir(parents=True)
    prefix = folder / "sentencepiece.bpe"
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=prefix, vocab_size=600, model_type="unigram",
        character_coverage=1.0, hard_vocab_limit=False, minloglevel=1,
    )  # fmt: skip
    pieces = len(SentencePieceProcessor(model_file=f"{prefix}.model"))
    prefix.with_suffix(".bpe.vocab").unlink()
    codes = list(FAIRSEQ_LANGUAGE_CODES)
    config = TINY_MBART | {
        "model_type": "mbart",
        "architectures": ["MBartForConditionalGeneration"],
        "tokenizer_class": "MBart50Tokenizer",
        "vocab_size": pieces + 1 + len(codes) + 1,  # <pad>, codes, <mask>
        "decoder_start_token_id": 2,
        "forced_eos_token_id": 2,
        "early_stopping": True,
        "max_length": 200,
        "num_beams": 5,
    }
    tokenizer = {"tokenizer_class": "MBart50Tokenizer", "language_codes": "ML50"}
    for name, content in {
        "config.json": config,
        "tokenizer_config.json": tokenizer | {"src_lang": None, "tgt_lang": None},
        "special_tokens_map.json": {"additional_special_tokens": codes},
    }.items():
        (folder / name).write_text(json.dumps(content))
    torch.manual_seed(0)
    mbart = LanguageModel(folder, from_scratch=True).mbart
    torch.save(mbart.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="session")
def tokenizer(tiny_lm):
    from comsl.tokenizer import Tokenizer

    return Tokenizer(tiny_lm)


@pytest.fixture
def batch(tokenizer) -> dict:
    """Four utterances of different lengths: cached states of width 16, and PAIRS' texts."""
    from torch.nn.utils.rnn import pad_sequence

    generator = torch.Generator().manual_seed(3)
    frames = torch.tensor([37, 50, 18, 41])
    speech = [torch.randn(int(n), 16, generator=generator) for n in frames]
    texts = [(lang, *pair) for lang, pairs in PAIRS.items() for pair in pairs[:2]]
    source = [torch.tensor(tokenizer.encode(x, lang)) for lang, x, _ in texts]
    target = [torch.tensor(tokenizer.encode(y, "en")) for _, _, y in texts]
    return {
        "speech": pad_sequence(speech, batch_first=True),
        "speech_lengths": frames,
        "source": pad_sequence(source, batch_first=True, padding_value=-1),
        "source_lengths": torch.tensor([len(row) for row in source]),
        "target": pad_sequence(target, batch_first=True, padding_value=-1),
        "target_lengths": torch.tensor([len(row) for row in target]),
        "utt_id": ["a", "b", "c", "d"],
    }


@pytest.fixture(scope="session")
def language_model(tiny_lm, tmp_path_factory) -> Path:
    """The folder of a language model's training, as stage 3 leaves it."""
    from comsl.model.composite import ComSLModel
    from comsl.model.language_model import LanguageModel
    from comsl.model.settings import Settings
    from comsl.tokenizer import Tokenizer

    only_mt = {"w_st": 0.0, "w_asr": 0.0, "w_cml": 0.0, "alpha_mt": 0.0}
    folder = tmp_path_factory.mktemp("lm_train")
    model = ComSLModel(LanguageModel(tiny_lm), Tokenizer(tiny_lm), settings=Settings(**only_mt))
    torch.save(model.state_dict(), folder / "valid.loss.ave.pth")
    config = {"language_model": str(tiny_lm), "language_model_conf": {}, "model_conf": only_mt}
    config |= {"speech_encoder": None, "teacher": None, "target_lang": "en"}
    config["best_model_criterion"] = [["valid", "loss", "min"]]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder
