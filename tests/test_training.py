"""ESPnet's trainer on ComSL: resuming, component learning rates, schedule, use of the result."""

import re
import shutil
import zipfile
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, run_tool, write_texts
from real_speech import prompts

from comsl.baselines.whisper_task import WhisperTask
from comsl.corpora.kaldi import read_table
from comsl.encoders.cached import CachedStates
from comsl.errors import DataError
from comsl.inference import (
    SpeechTranslator,
    load_model,
    load_weights,
)
from comsl.model.composite import ComSLModel
from comsl.training.scheduler import PolynomialDecayLR
from comsl.training.task import ComSLTask
from comsl.training.trainer import (
    added_statistics,
    keep_checkpoint,
    restore_checkpoint,
    whole_updates,
)

DIMS = {"n_mels": 80, "n_ctx": 1500, "n_state": 16, "n_head": 2, "n_layer": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_lm) -> Path:
    """A set with waveforms and cached states of random noise."""
    folder = write_texts(tmp_path_factory.mktemp("set"))
    run_tool("token_lengths", "--language_model", tiny_lm, folder)
    random = np.random.default_rng(0)
    utterances = [line.split()[0] for line in (folder / "utt2lang").read_text().splitlines()]
    frames = {utterance: int(random.integers(20, 60)) for utterance in utterances}
    with kaldiio.WriteHelper(
        f"ark,scp:{folder}/feats.ark,{folder}/feats.scp", compression_method=3
    ) as writer:
        for utterance, n in frames.items():
            writer(utterance, random.standard_normal((n, 16)).astype(np.float32))
    with open(folder / "wav.scp", "w") as scp:
        for utterance, n in frames.items():
            noise = 0.1 * random.standard_normal(320 * n)
            soundfile.write(folder / f"{utterance}.flac", noise, 16000)
            scp.write(f"{utterance} {folder}/{utterance}.flac\n")
    (folder / "speech_shape").write_text("".join(f"{u} {n}\n" for u, n in frames.items()))
    (folder / "utt2dur").write_text("".join(f"{u} {n / 50}\n" for u, n in frames.items()))
    return folder


def arguments(
    data: Path, tiny_lm: Path, out: Path, *options: str, speech: str = "cached"
) -> list[str]:
    """Of the training command."""
    if speech == "cached":
        encoder = ["--speech_encoder_conf", "input_size=16"]
        speech_file = f"{data}/feats.scp,speech,kaldi_ark"
    else:
        encoder = ["--speech_encoder_conf", f"dims={DIMS}"]
        speech_file = f"{data}/wav.scp,speech,sound"
    command = ["--speech_encoder", speech, *encoder]
    for split in ("train", "valid"):
        for item in (
            speech_file,
            f"{data}/text.src,source_text,text",
            f"{data}/text.tgt,target_text,text",
            f"{data}/utt2lang,lang,text",
        ):
            command += [f"--{split}_data_path_and_name_and_type", item]
        for shape in ("speech_shape", "source_shape", "target_shape"):
            command += [f"--{split}_shape_file", f"{data}/{shape}"]
    return [
        *command,
        *("--language_model", str(tiny_lm), "--teacher", str(tiny_lm)),
        *("--output_dir", str(out), "--batch_type", "numel", "--batch_bins", "300"),
        *("--num_workers", "0", "--use_matplotlib", "false", "--optim", "adamw"),
        *("--best_model_criterion", "valid,ce_st,min", "--keep_nbest_models", "2"),
        *options,
    ]


def train(*run, **settings) -> None:
    """One training run through the task's own command line."""
    ComSLTask.main(cmd=arguments(*run, **settings))


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"{epoch}epoch.pth", weights_only=True)


@pytest.fixture(scope="module")
def uninterrupted(data, tiny_lm, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The third epoch's model of a run that nothing stops."""
    folder = tmp_path_factory.mktemp("whole")
    train(data, tiny_lm, folder, "--max_epoch", "3")
    return weights(folder, 3)


@pytest.mark.parametrize(("epoch", "file"), [(1, "checkpoint"), (2, "checkpoint"), (2, "2epoch")])
def test_resume_after_a_kill_equals_an_uninterrupted_run(
    data, tiny_lm, tmp_path, uninterrupted, epoch, file
):
    """Killed while an epoch's checkpoint or model is written, the run does that epoch again."""
    train(data, tiny_lm, tmp_path, "--max_epoch", str(epoch))
    (tmp_path / "latest.pth").unlink()  # written after both
    whole = (tmp_path / f"{file}.pth").read_bytes()
    (tmp_path / f"{file}.pth").write_bytes(whole[:10_000])
    train(data, tiny_lm, tmp_path, "--max_epoch", "3", "--resume", "true")
    resumed = weights(tmp_path, 3)
    assert resumed.keys() == uninterrupted.keys()
    for name in resumed:
        assert torch.equal(resumed[name], uninterrupted[name]), name


def test_text_pairs_are_every_other_batch_and_training_goes_on_with_them(data, tiny_lm, tmp_path):
    """Half the updates of an epoch are theirs; resumed, a run ends with the same weights."""
    options = ("--text_pairs", str(data), "--model_conf", "w_text=0.2")
    options += ("--num_iters_per_epoch", "5")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(data, tiny_lm, whole, *options, "--max_epoch", "2", "--log_interval", "1")
    train(data, tiny_lm, resumed, *options, "--max_epoch", "1")
    train(data, tiny_lm, resumed, *options, "--max_epoch", "2", "--resume", "true")
    for name, value in weights(whole, 2).items():
        assert torch.equal(weights(resumed, 2)[name], value), name
    log = torch.load(whole / "checkpoint.pth", weights_only=False)["reporter"]["stats"][2]["train"]
    assert log["total_count"] == 10
    assert {"ce_st", "ce_text"} <= log.keys()
    args = (*options[:4], "--max_epoch", "1")
    with pytest.raises(DataError, match="text_pairs: set num_iters_per_epoch"):
        train(data, tiny_lm, tmp_path / "c", *args)
    with pytest.raises(DataError, match="text_pairs and w_text"):
        train(data, tiny_lm, tmp_path / "d", *args[2:])


def test_a_checkpoint_set_aside_outlives_two_kills(tmp_path):
    """Restored, then killed within the next epoch: it is still there."""
    with zipfile.ZipFile(tmp_path / "checkpoint.previous.pth", "w"):
        pass
    (tmp_path / "checkpoint.pth").write_bytes(b"half")
    for _ in range(2):
        restore_checkpoint(tmp_path)
        assert zipfile.is_zipfile(tmp_path / "checkpoint.pth")
    keep_checkpoint(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.previous.pth"]


def test_component_learning_rates(data, tiny_lm, tmp_path):
    """A component with learning rate 0 stays as it was; the others move."""
    options = ["--component_lr", "language_model=0.0", "--optim_conf", "weight_decay=0.0"]
    train(data, tiny_lm, tmp_path / "a", "--max_epoch", "2", *options)
    first, second = weights(tmp_path / "a", 1), weights(tmp_path / "a", 2)
    for name in first:
        assert torch.equal(first[name], second[name]) == name.startswith("language_model."), name


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--component_lr", "adapter=1e-3"], "component_lr: adapter is a number, not '1e-3'; to"),
        (["--component_lr", "adapter=.nan"], "component_lr: adapter is a finite number, not nan"),
        (["--component_lr", "adapter=fast"], "component_lr: adapter is a number, not 'fast'"),
        (
            ["--component_lr", "decoder=0.1"],
            "decoder is not one of this model's components, speech_e",
        ),
        (["--optim_conf", "momentun=0.9"], "optim_conf: no setting 'momentun'; known: lr"),
        (["--optim_conf", "params=[1]"], "optim_conf: no setting 'params'"),
        (["--speech_adapter_conf", "frame_rate=50.0"], "no setting 'frame_rate'; known: dropout"),
        (["--model_conf", "alpha_st=1.8"], "alpha_st is a share, from 0 to 1, not 1.8"),
        (["--model_conf", "w_st=-1.0"], "w_st is a weight, at least 0, not -1.0"),
        (["--accum_grad", "99"], "an update takes 99 batches, an epoch has"),
        (["--optim_conf", "betas=[0.9, .inf]"], "optim_conf: betas is a finite number, not inf"),
        (["--preprocessor_conf", "denoize=0.1"], "preprocessor_conf: no setting 'denoize'"),
        (["--preprocessor_conf", "denoise=0.1"], "denoise (preprocessor_conf): texts alone"),
        (
            ["--model_conf", "w_st=0.0", "--model_conf", "w_mt=0.0", "--model_conf", "w_cml=0.0"],
            "valid_bleu: nothing learns to translate (w_st, w_mt); set it to false",
        ),
        (["--max_epoch", "-3"], "max_epoch is at least 1, not -3"),
        (["--auto_batch", "true", "--batch_type", "sorted"], "only with batch_type numel"),
        (["--ngpu", "1"], "--ngpu 1: there are 0 GPUs here"),
        (["--grad_clip", "nan"], "grad_clip is a finite number, not nan"),
        (
            ["--speech_encoder_conf", "dims={n_mels: .inf}"],
            "dims: n_mels is a finite number",
        ),
        (
            ["--speech_encoder_conf", "top_blocks=two"],
            "top_blocks is a number, not 'two'",
        ),
        (
            ["--scheduler_conf", "warmup_steps=many"],
            "warmup_steps is a number, not",
        ),
        (["--scheduler_conf", "end_lr=.nan"], "scheduler_conf: end_lr is a finite number, not nan"),
        (["--model_conf", "w_cml=-.inf"], "model_conf: w_cml is a finite number, not -inf"),
        (["--best_model_criterion", "valid,ce_ts,min"], "no statistic 'ce_ts' in valid; there are"),
        (["--best_model_criterion", "dev,ce_st,min"], "'dev' is neither train nor valid"),
        (["--best_model_criterion", "valid,ce_st,least"], "'least' is neither min nor max"),
        (["--best_model_criterion", "train,bleu,max"], "no statistic 'bleu' in train"),
        (
            ["--early_stopping_criterion", "valid", "acc", "max"],
            "stopping_criterion: no statistic",
        ),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_loaded(
    data, tmp_path, monkeypatch, options, complaint
):
    monkeypatch.delattr(ComSLTask, "build_model")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    options = ["--scheduler", "polynomial", "--scheduler_conf", "total_steps=9", *options]
    with pytest.raises(DataError, match=re.escape(complaint)):
        train(data, tmp_path / "no language model", tmp_path / "b", *options)
    assert not (tmp_path / "b").exists()


CONFIGURATIONS = sorted([*ROOT.glob("conf/train_*.yaml"), *ROOT.glob("egs2/*/*/conf/train_*.yaml")])


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_configuration_is_accepted(config):
    task = WhisperTask if "whisper" in config.stem else ComSLTask
    task.check(task.get_parser().parse_args(["--config", str(config)]))


def test_what_is_logged_is_what_criteria_may_name(data, tiny_lm, tmp_path):
    """But for times and learning rates, which are ESPnet's own."""
    train(data, tiny_lm, tmp_path, "--max_epoch", "1")
    args = ComSLTask.get_parser().parse_args(arguments(data, tiny_lm, tmp_path))
    logged = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["reporter"]["stats"][1]
    train_names = ComSLTask.check_model(args)
    assert train_names <= logged["train"].keys()
    valid_names = logged["valid"].keys() - {"time", "total_count"}
    assert valid_names == train_names | added_statistics(valid_bleu=True)


def test_a_training_without_finite_gradients_fails(data, tiny_lm, tmp_path, monkeypatch):
    """It isn't taken for one that is done: stage 6 asks for the averaged model."""
    forward = ComSLModel.forward

    def nowhere(model, **batch):
        loss, stats, weight = forward(model, **batch)
        return loss * float("nan"), stats, weight

    monkeypatch.setattr(ComSLModel, "forward", nowhere)
    with pytest.raises(DataError, match="no update of this epoch had finite gradients"):
        train(data, tiny_lm, tmp_path, "--max_epoch", "1")
    assert not (tmp_path / "valid.loss.ave.pth").exists()


def test_a_trained_model_translates_from_its_folder_and_packed(data, tiny_lm, tmp_path):
    """Joint phase on waveforms, then packing: the same output, from path, array and list, in the
    language that it was trained for."""
    options = ("--max_epoch", "1", "--target_lang", "de")
    train(data, tiny_lm, tmp_path / "joint", *options, speech="whisper")
    wave = tmp_path / "prompt.flac"
    soundfile.write(wave, prompts()[0], 16000)
    folder = SpeechTranslator.from_pretrained(tmp_path / "joint")
    run_tool("pack", "--model", tmp_path / "joint", "--out", tmp_path / "packed")
    shutil.move(tiny_lm, tiny_lm.with_name("moved"))
    try:
        packed = SpeechTranslator.from_pretrained(tmp_path / "packed")
    finally:
        shutil.move(tiny_lm.with_name("moved"), tiny_lm)
    durations = read_table(data / "utt2dur").values()
    assert packed.languages == ["fr", "it"]
    assert packed.longest == max(map(float, durations))
    german = folder.tokenizer.code("de")
    for translator in (folder, packed):
        (ids,) = translator._generate("mt", ["Il pleut."], ["fr"], beam_size=2)
        assert ids[1] == german
    samples, rate = soundfile.read(wave)
    expected = folder.translate(wave, src_lang="fr")
    assert expected
    assert packed.translate(str(wave), src_lang="fr") == expected
    assert packed.translate((samples, rate), src_lang="fr") == expected
    assert packed.translate([wave, wave], src_lang="fr") == [expected] * 2
    texts = ["Il pleut.", "Nous mangeons du pain frais."]
    assert packed.translate_text(texts, "fr") == folder.translate_text(texts, "fr")
    assert packed.translate((np.zeros(16000), 16000), src_lang="fr") == ""
    with pytest.raises(DataError, match="is empty"):
        packed.translate((np.zeros(0), 16000), src_lang="fr")
    with pytest.raises(DataError, match="unknown language"):
        packed.translate(wave, src_lang="xx")


def test_a_model_with_top_blocks_on_cached_states_gets_its_whole_encoder(data, tiny_lm, tmp_path):
    """Trained above cached states, frozen, then not; used on waveforms with what it has learnt."""
    above = ["--speech_encoder_conf", f"dims={DIMS}", "--speech_encoder_conf", "top_blocks=1"]
    frozen = ["--speech_encoder_conf", "trainable_blocks=0"]
    train(data, tiny_lm, tmp_path / "frozen", "--max_epoch", "2", *above, *frozen)
    start = ["--init_param", str(tmp_path / "frozen/2epoch.pth")]
    train(data, tiny_lm, tmp_path / "joint", "--max_epoch", "1", *above, *start)
    first, frozen, joint = (
        {name: value for name, value in weights(tmp_path / folder, epoch).items() if "enc" in name}
        for folder, epoch in (("frozen", 1), ("frozen", 2), ("joint", 1))
    )
    encoder = {name for name in joint if name.startswith("speech_encoder.")}
    assert {name.split(".")[2] for name in encoder} == {"blocks", "ln_post"}
    assert all(torch.equal(first[name], frozen[name]) for name in encoder)
    assert not any(torch.equal(frozen[name], joint[name]) for name in encoder if "mlp" in name)
    model = load_model(tmp_path / "joint/1epoch.pth")
    whole = {f"speech_encoder.{k}": v for k, v in model.speech_encoder.state_dict().items()}
    assert all(torch.equal(whole[name], joint[name]) for name in encoder)
    assert any("blocks.0." in name for name in whole)
    translator = SpeechTranslator(model)
    wave, _ = soundfile.read(data / "fr-000.flac", dtype="float32")
    of_wave = translator.score(wave, "It is raining.", "fr")
    states, _ = model.speech_encoder.states_below(
        1, torch.from_numpy(wave)[None], torch.tensor([len(wave)])
    )
    model.speech_encoder = CachedStates(16, dims=DIMS, top_blocks=1).eval()
    load_weights(model, tmp_path / "joint/1epoch.pth")
    of_states = translator.score(states[0].detach().numpy(), "It is raining.", "fr")
    assert of_wave == pytest.approx(of_states, rel=1e-5)


def test_a_checkpoint_of_another_configuration_is_refused(data, tiny_lm, tmp_path):
    train(data, tiny_lm, tmp_path / "run", "--max_epoch", "1")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("input_size: 16", "input_size: 24"))
    with pytest.raises(DataError, match="not this configuration's weights"):
        load_model(tmp_path / "run" / "1epoch.pth")
    with pytest.raises(DataError, match="no such file"):
        load_model(tmp_path / "absent.pth")


def test_an_epoch_ends_with_a_whole_update():
    assert list(whole_updates(range(7), 3)) == [0, 1, 2, 3, 4, 5]
    assert list(whole_updates(range(4), 1)) == [0, 1, 2, 3]
    assert len(whole_updates(range(4), 1)) == 4  # ESPnet's logging asks


def test_polynomial_schedule():
    """Linear to the peak, then `(1 - progress) ** 2` down to the end, where it stays."""
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 2.0}], lr=1.0)
    schedule = PolynomialDecayLR(optimizer, warmup_steps=10, total_steps=110, end_lr=0.0)
    rates = []
    for _ in range(130):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == 2.0
    assert rates[59] == pytest.approx(2.0 * 0.5**2)
    assert rates[109:] == [0.0] * 21


def test_a_component_of_rate_0_never_moves():
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": 0.0}], lr=1.0)
    schedule = PolynomialDecayLR(optimizer, warmup_steps=1, total_steps=4)
    for _ in range(6):
        assert optimizer.param_groups[0]["lr"] == 0.0
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("total", [4, 2])
def test_a_schedule_that_ends_within_its_warm_up_never_exceeds_the_peak(total):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = PolynomialDecayLR(optimizer, warmup_steps=4, total_steps=total, end_lr=0.0)
    rates = []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == [0.25, 0.5, 0.75, 1.0, 0.0, 0.0, 0.0]
