"""The frozen teacher's states on disk stand in for the teacher."""

import pytest
import torch
from conftest import run_tool, write_texts
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.dataset import kaldi_loader

from comsl.corpora.kaldi import read_table
from comsl.errors import DataError
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.settings import Settings
from comsl.model.teacher import Teacher
from comsl.training.preprocessor import ComSLPreprocessor


def load_batch(raw, states, tokenizer, utterances) -> dict:
    """As ESPnet reads and collates it, in the order of `utterances`."""
    src, tgt, lang = (read_table(raw / name) for name in ("text.src", "text.tgt", "utt2lang"))
    preprocess = ComSLPreprocessor(False, tokenizer, "en")
    rows = []
    for key in utterances:
        texts = {"source_text": src[key], "target_text": tgt[key], "lang": lang[key]}
        rows.append((key, preprocess(key, texts | {"teacher": states[key]})))
    utt_id, batch = CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)(rows)
    return batch | {"utt_id": utt_id}


def test_cached_states_give_the_teacher_s_loss(tiny_lm, tokenizer, tmp_path):
    raw = write_texts(tmp_path / "raw" / "train").parent
    options = ["--raw", raw, "--out", tmp_path / "teacher", "--sets", "train", "--shard_utts", 3]
    run_tool("extract_teacher", *options, "--language_model", tiny_lm)
    states = kaldi_loader(str(tmp_path / "teacher" / "train" / "feats.scp"))
    batch = load_batch(raw / "train", states, tokenizer, ["it-003", "fr-000", "it-001"])

    torch.manual_seed(0)
    student = LanguageModel(tiny_lm, from_scratch=True)
    settings = {"w_st": 0, "w_asr": 0, "w_cml": 0, "w_mt": 1.0, "alpha_mt": 0.7}
    teacher = Teacher(LanguageModel(tiny_lm))
    model = ComSLModel(student, tokenizer, teacher=teacher, settings=Settings(**settings))
    assert batch["teacher_lengths"].tolist() == batch["target_lengths"].tolist()
    uncached = {k: v for k, v in batch.items() if not k.startswith("teacher")}
    losses = [model.eval()(**b)[0] for b in (batch, uncached)]
    torch.testing.assert_close(*losses)
    model.teacher = Teacher(LanguageModel(tiny_lm), cached=True)
    torch.testing.assert_close(model(**batch)[0], losses[0])
    with pytest.raises(DataError, match="lacks the teacher's cached states"):
        model(**uncached)
    batch["teacher"] += 1
    assert not torch.isclose(model(**batch)[0], losses[1])
    batch["teacher_lengths"] -= 1
    with pytest.raises(DataError, match="stage 5"):
        model(**batch)
