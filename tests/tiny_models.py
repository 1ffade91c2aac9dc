"""Random models of a few thousand parameters, of the classes and with the tokenizers that the
published ones have, as folders of Hugging Face's."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from conftest import PAIRS, ROOT, TINY_MBART, write_mbart50

TEXTS = [text for pairs in PAIRS.values() for pair in pairs for text in pair] * 3
CONTROL = ["<s>", "<pad>", "</s>", "<unk>"]  # fairseq's first four


def write_language_model(family: str, folder: Path) -> Path:
    """A random translation model of a family."""
    if family == "mbart":
        return write_mbart50(folder, TEXTS)
    if family == "marian":
        return write_marian(folder)
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    from comsl.tokenizer import Tokenizer

    folder.mkdir(parents=True)
    {"m2m_100": write_m2m_100_tokenizer, "nllb": write_nllb_tokenizer}[family](folder)
    size = len(Tokenizer(folder)) + 2  # theirs have more than their tokenizers
    torch.manual_seed(0)
    config = M2M100Config(**TINY_MBART, vocab_size=size, decoder_layerdrop=0.5)
    model = M2M100ForConditionalGeneration(config)
    model.save_pretrained(folder)
    return folder


def write_m2m_100_tokenizer(folder: Path) -> None:
    """As facebook/m2m100_418M has it: SentencePiece's own file, and which id a piece has."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    prefix = folder / "sentencepiece.bpe"
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=prefix, vocab_size=300, model_type="bpe",
        character_coverage=1.0, minloglevel=1,
    )  # fmt: skip
    pieces = SentencePieceProcessor(model_file=f"{prefix}.model")
    tokens = CONTROL + [pieces.id_to_piece(i) for i in range(3, len(pieces))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    settings = {"tokenizer_class": "M2M100Tokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_marian(folder: Path) -> Path:
    """As Helsinki-NLP/opus-mt-fr-en has it: SentencePiece's file of either side, one vocabulary,
    in which `</s>` is the first and `<pad>`, which is never written, the last."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
    from transformers import MarianConfig, MarianMTModel

    folder.mkdir(parents=True)
    tokens = ["</s>", "<unk>"]
    for side, name in enumerate(("source", "target")):
        SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS[side::2]), model_prefix=folder / name, vocab_size=120,
            model_type="unigram", character_coverage=1.0, minloglevel=2, hard_vocab_limit=False,
        )  # fmt: skip
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        pieces = SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        tokens += [pieces.id_to_piece(i) for i in range(3, len(pieces))]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys([*tokens, "<pad>"]))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "fr", "target_lang": "en"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    pad = vocabulary["<pad>"]
    ids = {"pad_token_id": pad, "decoder_start_token_id": pad}
    model = MarianMTModel(MarianConfig(**TINY_MBART, **ids, vocab_size=len(vocabulary)))
    torch.nn.init.normal_(model.final_logits_bias)
    model.save_pretrained(folder)
    return folder


def write_nllb_tokenizer(folder: Path) -> None:
    """As facebook/nllb-200-distilled-600M has it: BPE, in one file."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import NllbTokenizer

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=CONTROL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    NllbTokenizer(vocab=model["vocab"], merges=merges).save_pretrained(folder)


# Keywords of the configurations of transformers: three blocks, width 16.
SPEECH = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2} | {
    "intermediate_size": 32,
    "layerdrop": 0.5,
}
CONVOLUTIONS = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 16} | {
    "num_conv_pos_embedding_groups": 2
}
SPEECH_ENCODERS = {
    "wav2vec2": SPEECH | CONVOLUTIONS,  # as the base model: group norm, and norms after the blocks
    "hubert": SPEECH  # as the large one
    | CONVOLUTIONS
    | {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    "wav2vec2-bert": SPEECH | {"add_adapter": True, "output_hidden_size": 16},
    "whisper": {"d_model": 16, "encoder_layers": 3, "encoder_attention_heads": 2}
    | {"encoder_ffn_dim": 64, "decoder_layers": 1, "decoder_attention_heads": 2}
    | {"decoder_ffn_dim": 64, "vocab_size": 51865, "num_mel_bins": 128},
}


def write_speech_encoder(kind: str, folder: Path) -> Path:
    """A random model, by its type in transformers; of Whisper as distil-whisper is published."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(kind, **SPEECH_ENCODERS[kind]))
    for parameter in model.parameters():  # what is heard must matter
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def tiny_comsl(language_model: Path, whisper: Path):
    """A random ComSLModel of French and Italian on a Whisper of width 16."""
    from comsl.encoders.whisper import WhisperEncoder
    from comsl.model.adapter import Adapter
    from comsl.model.composite import ComSLModel
    from comsl.model.language_model import LanguageModel
    from comsl.model.settings import Settings
    from comsl.tokenizer import Tokenizer

    torch.manual_seed(0)
    blocks = LanguageModel(language_model)
    adapter = Adapter(16, blocks.config.d_model)
    parts = blocks, Tokenizer(language_model), WhisperEncoder(str(whisper)), adapter
    settings = Settings(alpha_mt=0.0, w_ctc=0.3)
    model = ComSLModel(*parts, settings=settings, languages=["fr", "it"], longest=9.5)
    return model.eval()


def write_trainings(
    folder: Path, script: Path, changes: Mapping[str, dict] | None = None
) -> list[str]:
    """Options of a recipe's run.sh: its own trainings with two updates each, on the states of
    `write_whisper`, and a narrow beam.

    changes: option -> settings; one that is a dictionary adds to the recipe's.
    """
    options = ["--decode_config", str(folder / "decode.yaml")]
    (folder / "decode.yaml").write_text("beam_size: 2\n")
    for option, file in re.findall(r"--(\w+_config) (\S+)", script.read_text()):
        config = yaml.safe_load((ROOT / file).read_text())
        settings = {"batch_bins": 2000, "max_epoch": 1, "num_iters_per_epoch": 2, "num_workers": 0}
        if config.get("speech_encoder") == "cached":
            settings["speech_encoder_conf"] = {"input_size": 16}
        for name, value in (settings | (changes or {}).get(option, {})).items():
            config[name] = config.get(name, {}) | value if isinstance(value, dict) else value
        path = folder / Path(file).name
        path.write_text(yaml.safe_dump(config))
        options += [f"--{option}", str(path)]
    return options
