"""The benchmarks' baseline computes the same losses, where an utterance has no padding."""

import torch

from benchmarks.published import published_loss
from comsl.encoders.whisper import WhisperEncoder
from comsl.model.adapter import Adapter
from comsl.model.composite import ComSLModel
from comsl.model.language_model import LanguageModel
from comsl.model.teacher import Teacher

DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 2}


def test_baseline_equals_ours_without_padding(tiny_lm, tokenizer, batch):
    torch.manual_seed(0)
    model = ComSLModel(
        LanguageModel(tiny_lm),
        tokenizer,
        WhisperEncoder(dims=DIMS, silence=0.0),
        Adapter(16, 32),
        Teacher(LanguageModel(tiny_lm, from_scratch=True)),
    ).eval()
    speech = 0.1 * torch.randn(1, 16000)
    source, target = batch["source"][:1], batch["target"][:1]
    source, target = source[source >= 0][None], target[target >= 0][None]
    lengths = [torch.tensor([part.size(1)]) for part in (source, target, speech)]
    ours, _, _ = model(source, lengths[0], target, lengths[1], speech, lengths[2], utt_id=["a"])
    theirs = published_loss(model, speech, source, target, ["a"])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    parameters = dict(model.named_parameters())
    gradients = [torch.autograd.grad(loss, parameters.values()) for loss in (ours, theirs)]
    for name, mine, other in zip(parameters, *gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4, msg=name)
