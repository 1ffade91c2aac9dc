"""Training by several processes equals training by one: DistributedDataParallel and DeepSpeed."""

import json
import multiprocessing
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from test_modality_gap import METHODS, batch, repeat_first  # noqa: F401 a fixture
from test_model import OFF, build
from test_training import DIMS, arguments, data, train  # noqa: F401 a fixture
from torch import distributed

from comsl.errors import DataError
from comsl.inference import load_model
from comsl.training.deepspeed_trainer import read_config
from comsl.training.task import ComSLTask

# Processes are forked from one that has imported what they need.
multiprocessing.set_forkserver_preload(["comsl.training.task", "deepspeed"])
EPOCHS = 3
# Without chance: no dropout, all tokens masked. Learning rates by component, a schedule, clipping,
# accumulation, a batch left over: whatever a trainer could get wrong.
SETTINGS = [
    *("--language_model_conf", "dropout=0.0", "--speech_adapter_conf", "dropout=0.0"),
    *("--language_model_conf", "checkpointing=true", "--model_conf", "mask_probability=1.0"),
    *("--optim_conf", "lr=0.001", "--optim_conf", "eps=0.000001", "--component_lr", "adapter=0.01"),
    *("--scheduler", "polynomial", "--scheduler_conf", "warmup_steps=2"),
    *("--scheduler_conf", "total_steps=9", "--grad_clip", "5", "--accum_grad", "2"),
    *("--num_iters_per_epoch", "5", "--min_batch_size", "2"),
]


def launch(processes: int, folder: Path, options: list[str]) -> None:
    """Train in so many processes, as a launcher does."""
    store = folder.parent / f"{folder.name}.store"
    store.unlink(missing_ok=True)
    command = [*options, "--resume", "true", "--multiprocessing_distributed", "false"]
    command += ["--dist_backend", "gloo", "--dist_init_method", f"file://{store}"]
    command += ["--dist_world_size", str(processes), "--dist_rank"]
    context = multiprocessing.get_context("forkserver")
    running = [
        context.Process(target=work, args=([*command, str(rank)],)) for rank in range(processes)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * processes


def work(command: list[str]) -> None:
    """One of the processes."""
    import deepspeed

    deepspeed.ops.__compatible_ops__.clear()  # else it compiles its exchange between CPUs: minutes
    ComSLTask.main(cmd=command)


def losses(folder: Path) -> dict[tuple[int, str, str], float]:
    """Every loss and learning rate of every epoch, in training and in validation."""
    stats = torch.load(folder / "checkpoint.pth", weights_only=True)["reporter"]["stats"]
    return {
        (epoch, phase, name): value
        for epoch, phases in stats.items()
        for phase, values in phases.items()
        for name, value in values.items()
        if name.startswith(("loss", "ce_", "kd_", "optim0_lr"))
        and not name.endswith(("_token", "_scale"))
    }


def check_same(folder: Path, reference: Path) -> None:
    """Losses within 1e-4 of one process's. Sums in another order, magnified by Adam."""
    ours, theirs = losses(folder), losses(reference)
    assert ours.keys() == theirs.keys()
    assert {epoch for epoch, _, _ in ours} == set(range(1, EPOCHS + 1))
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=1e-4), key


@pytest.fixture(scope="module")
def one_process(data, tiny_lm, tmp_path_factory) -> tuple[Path, Path]:  # noqa: F811
    """A run that one process has made: but for its last epoch, and whole."""
    part, whole = (tmp_path_factory.mktemp("one") / name for name in ("part", "whole"))
    train(*run(data, tiny_lm, part, EPOCHS - 1), speech="whisper")
    shutil.copytree(part, whole, symlinks=True)
    train(*run(data, tiny_lm, whole, EPOCHS), "--resume", "true", speech="whisper")
    assert losses(whole)[EPOCHS, "valid", "loss"] < 0.98 * losses(whole)[1, "valid", "loss"]
    return part, whole


def run(data, tiny_lm, folder: Path, epochs: int) -> tuple:  # noqa: F811
    return data, tiny_lm, folder, *SETTINGS, "--max_epoch", str(epochs)


def test_two_processes_train_to_the_losses_of_one(data, tiny_lm, tmp_path, one_process):  # noqa: F811
    """Each with its share of a batch; stopped and resumed."""
    folder = tmp_path / "ddp"
    for epochs in (EPOCHS - 1, EPOCHS):
        launch(2, folder, arguments(*run(data, tiny_lm, folder, epochs), speech="whisper"))
    check_same(folder, one_process[1])
    assert load_model(folder / "valid.ce_st.ave.pth").speech_encoder.dims() == DIMS


def test_deepspeed_begins_what_another_trainer_finishes(data, tiny_lm, tmp_path, one_process):  # noqa: F811
    folder = tmp_path / "zero"
    zero = ["--use_deepspeed", "true", "--deepspeed_config", "conf/deepspeed/zero2.json"]
    begun = arguments(*run(data, tiny_lm, folder, EPOCHS - 1), speech="whisper")
    launch(2, folder, begun + zero)
    assert load_model(folder / "valid.ce_st.ave.pth").speech_encoder.dims() == DIMS
    train(*run(data, tiny_lm, folder, EPOCHS), "--resume", "true", speech="whisper")
    check_same(folder, one_process[1])


@pytest.mark.parametrize(("processes", "name"), [(2, "zero2"), (2, "zero2_offload"), (1, "zero2")])
def test_deepspeed_finishes_what_another_trainer_began(
    data,  # noqa: F811
    tiny_lm,
    tmp_path,
    one_process,
    processes,
    name,
):
    folder = tmp_path / "zero"
    shutil.copytree(one_process[0], folder, symlinks=True)
    zero = ["--use_deepspeed", "true", "--deepspeed_config", f"conf/deepspeed/{name}.json"]
    finished = arguments(*run(data, tiny_lm, folder, EPOCHS), speech="whisper")
    launch(processes, folder, finished + zero)
    check_same(folder, one_process[1])


def test_sentence_pairs_train_alike_in_two_processes(data, tiny_lm, tmp_path):  # noqa: F811
    """Their batches give the speech encoder and the adapter no gradient."""
    pairs = ["--text_pairs", str(data), "--model_conf", "w_text=0.5", "--valid_bleu", "false"]
    train(*run(data, tiny_lm, tmp_path / "one", EPOCHS), *pairs, speech="whisper")
    command = arguments(*run(data, tiny_lm, tmp_path / "ddp", EPOCHS), *pairs, speech="whisper")
    launch(2, tmp_path / "ddp", command)
    check_same(tmp_path / "ddp", tmp_path / "one")


def test_lora_trains_alike_by_either(data, tiny_lm, tmp_path):  # noqa: F811
    lora = ["--lora_conf", "language_model.rank=2", "--lora_conf", "language_model.dropout=0.0"]
    lora += ["--valid_bleu", "false"]
    zero = ["--use_deepspeed", "true", "--deepspeed_config", "conf/deepspeed/zero2.json"]
    train(*run(data, tiny_lm, tmp_path / "one", EPOCHS), *lora, speech="whisper")
    for name, options in {"ddp": lora, "zero": lora + zero}.items():
        command = run(data, tiny_lm, tmp_path / name, EPOCHS)
        launch(2, tmp_path / name, arguments(*command, speech="whisper") + options)
        check_same(tmp_path / name, tmp_path / "one")
        names = torch.load(tmp_path / name / f"{EPOCHS}epoch.pth", weights_only=True).keys()
        assert all("lora_" in name for name in names if name.startswith("language_model."))


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("{", "can't be read"),
        ({"zero_optimization": {"stage": 3}}, "stage to 1 or 2"),
        ({"zero_optimization": {"stage": 2}, "optimizer": {}}, "take out 'optimizer'"),
        ({"zero_optimization": {"stage": 2}, "gradient_clipping": 1}, "'gradient_clipping'"),
    ],
)
def test_a_deepspeed_configuration_that_would_be_ignored_is_refused(tmp_path, config, complaint):
    path = tmp_path / "zero.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(DataError, match=complaint):
        read_config(Namespace(deepspeed_config=str(path), accum_grad=1, grad_clip=5.0))


# Weights, and the rows of the batch, whose first and last say the same, that each of two processes
# takes.
SHARES = [
    (METHODS["const"], [[0, 1, 2], [3, 4]]),
    (METHODS["waco"], [[2, 4], [0, 1, 3]]),
    (METHODS["waco"], [[3], [0, 1, 2, 4]]),  # the first process has no word
]


def settings_of(methods: dict) -> dict:
    return OFF | methods | {"w_asr": 0.1}


def step(rank: int, lm, folder: Path, batch: dict) -> None:  # noqa: F811
    """One process of a data-parallel step for each of SHARES, weighted as ESPnet's trainer does:
    loss and gradients go to a file."""
    from comsl.tokenizer import Tokenizer

    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    results = []
    for methods, rows in SHARES:
        model = build(lm, Tokenizer(lm), **settings_of(methods))
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        mine = {
            name: [value[row] for row in rows[rank]] if name == "utt_id" else value[rows[rank]]
            for name, value in batch.items()
        }
        loss, _, weight = parallel(**mine)
        total = weight.clone()
        distributed.all_reduce(total)
        loss = loss * (weight / total)[0]
        (2 * loss).backward()
        loss = loss.detach()
        distributed.all_reduce(loss)
        results.append((loss, gradient_of(model)))
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def gradient_of(model) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_negatives_are_those_of_all_processes(tiny_lm, tokenizer, batch, tmp_path):  # noqa: F811
    """Rows unlike in number: the loss and the gradients of one process with the whole batch."""
    batch = repeat_first(batch)
    torch.multiprocessing.start_processes(
        step, (tiny_lm, tmp_path, batch), nprocs=2, start_method="forkserver"
    )
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for (methods, _), *processes in zip(SHARES, *results, strict=True):
        model = build(tiny_lm, tokenizer, **settings_of(methods))
        expected = model(**batch)[0]
        expected.backward()
        for loss, grads in processes:
            torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-5)
            assert grads.keys() == gradient_of(model).keys()
            for name, gradient in gradient_of(model).items():
                error = (grads[name] - gradient).norm()
                assert error <= 1e-4 * gradient.norm() + 1e-5, name
