"""The plan against measured runs, against plain sums, and what it refuses."""

import dataclasses
import json

import kaldiio
import numpy as np
import pytest
from conftest import ROOT, run_tool

from comsl.encoders.whisper import WhisperEncoder
from comsl.errors import DataError
from comsl.model.objectives import likelihood
from comsl.model.settings import Settings
from comsl.planning import counts
from comsl.planning import plan as plan_module
from comsl.planning.counts import SIZES, Clip, LanguageSize, train_joint
from comsl.planning.plan import COSTS, GB, Job, Plan, read_costs

# egs2/asterisk on two cores: 1,426 clips to train on, 109 to validate on, 137 to test
EMBEDDED = Job(
    hours=0.855,
    clip_seconds=2.16,
    dev_hours=0.108,
    test_hours=0.114,
    eval_clip_seconds=3.25,
    model="embedded",
    device="two-cores",
    epochs=(15, 7, 40 / 88),
    batch_size=9,
    trained_blocks=2,
)
LARGE = Job(hours=1000, dev_hours=50, test_hours=50, model="large", device="a100", gpus=8)
# Its stages in seconds, as its own logs had them on 2026-11-23
MEASURED = {"3": 252, "5": 95, "6 frozen": 1025, "6 joint": 217, "7": 62, "8": 254}
# Its files in MB: encoder states; language model's run and folder, frozen phase, joint phase (one
# epoch, here twice, as of a longer training), packed model
FILES = {
    "states of the speech encoder": 217,
    "states of the teacher": 15.5,
    "models": 277 + 35 + 399 + 2 * 415 + 133,
}


def plan(job: Job, **changes) -> Plan:
    return Plan(dataclasses.replace(job, **changes), read_costs())


def values(estimates) -> dict[str, float]:
    return {estimate.name: estimate.value for estimate in estimates}


def starting_with(name: str, found: dict[str, float]) -> float:
    (value,) = (value for key, value in found.items() if key.startswith(name))
    return value


@pytest.mark.parametrize("stage", MEASURED)
def test_time_of_the_embedded_recipe(stage):
    found = starting_with(f"{stage} ", values(plan(EMBEDDED).time()))
    assert found == pytest.approx(MEASURED[stage], rel=0.3)


def test_whole_time_of_the_embedded_recipe():
    found = values(plan(EMBEDDED).time())
    compared = sum(starting_with(f"{stage} ", found) for stage in MEASURED)
    assert compared == pytest.approx(sum(MEASURED.values()), rel=0.1)


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_embedded_recipe(name):
    found = starting_with(name, values(plan(EMBEDDED).storage()))
    assert found / 1e6 == pytest.approx(FILES[name], rel=0.05)


def test_states_take_what_an_ark_takes(tmp_path):
    """A file written as stage 5 writes it, against the plan's bytes a frame."""
    with kaldiio.WriteHelper(f"ark:{tmp_path}/a.ark", compression_method=3) as writer:
        writer("a", np.random.default_rng(0).standard_normal((275, 1280)).astype(np.float32))
    job = plan(LARGE, hours=5 / 3600, dev_hours=0.0)  # a clip of 5.5 s, its silence included
    found = starting_with("states of the speech", values(job.storage()))
    assert found == pytest.approx((tmp_path / "a.ark").stat().st_size, rel=0.01)


def test_joint_phase_is_flops_over_rates():
    """Written out for eight devices, without validation."""
    job = plan(LARGE, dev_hours=0.0)
    costs = read_costs()
    flops = 1000 * 3600 / 5 * train_joint(job.size, Clip(275, 2.8 * 5 + 2, 2.5 * 5 + 2))
    rate = 8 * costs["scaling"]["value"] * costs["devices"]["a100"]["training"]["value"]
    expected = costs["start"]["value"] + 10 * flops / rate
    found = starting_with("6 joint", values(job.time()))
    assert found == pytest.approx(expected)
    recomputed = starting_with("6 joint", values(plan(job.job, checkpointing=True).time()))
    start = costs["start"]["value"]
    assert recomputed - start == pytest.approx(4 / 3 * (found - start))


def test_devices_share_what_zero_2_shares():
    one, eight = plan(LARGE, gpus=1).memory(), plan(LARGE, gpus=8).memory()
    assert one["plain"] == eight["plain"]
    for part in ("gradients", "optimiser"):
        assert eight["ZeRO-2"][part] == pytest.approx(one["ZeRO-2"][part] / 8)
    assert eight["ZeRO-2"]["weights"] == one["ZeRO-2"]["weights"] == one["plain"]["weights"]
    less = plan(LARGE, checkpointing=True).memory()["plain"]["activations"]
    assert less < one["plain"]["activations"] / 5


def test_constants_are_those_of_the_code():
    """Copies, so that a plan needs none of the imports."""
    assert plan_module.ROWS == likelihood.ROWS
    assert (
        WhisperEncoder.frame_rate,
        WhisperEncoder.window,
    ) == (counts.FRAME_RATE, plan_module.WINDOW)
    assert Settings().mask_probability == counts.MASKED
    config = json.loads((ROOT / "egs2/debian_l10n/mt1/mbart_small/config.json").read_text())
    assert SIZES["embedded"].language == LanguageSize.of(config)


def test_clips_that_fit_fill_the_memory():
    table = plan(LARGE).tables()[1]
    fits = int(table.rows[-1][1])
    assert fits > 1
    capacity = read_costs()["devices"]["a100"]["memory"] * 2**30
    full, over = (
        sum(plan(LARGE, batch_size=size).memory()["plain"].values()) for size in (fits, fits + 1)
    )
    assert full <= capacity < over


def test_every_estimate_names_what_it_rests_on_and_every_constant_its_source():
    costs = read_costs()
    for device in costs["devices"]:
        job = plan(LARGE, device=device)
        rows = {row[0]: row for row in job.tables()[-1].rows}
        assert all(float(row[2]) >= 1 and len(row[3]) > 10 for row in rows.values())
        for estimate in job.time() + job.storage():
            assert estimate.sure > 1
            assert set(estimate.constants) <= rows.keys()
    assert sum(values(plan(LARGE).storage()).values()) / GB > 500


def test_the_command_prints_all_tables():
    done = run_tool("plan", "--hours", 1300, "--model", "medium", "--gpus", 8)
    assert "ComSL medium: 0.946 B parameters" in done.stdout
    for title in ("Disk, GB", "Memory of a device", "Hours", "What this rests on"):
        assert f"\n{title}" in done.stdout
    assert "6 joint phase" in done.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--hours", "nan"], "--hours nan: a number above 0"),
        (["--epochs", ". . ."], "--epochs '. . .': three numbers"),
        (["--hours", "0"], "--hours 0.0: a number above 0, please"),
        (["--dev_hours", "-1"], "--dev_hours -1.0: a number not below 0"),
        (["--epochs", "5 10"], "--epochs '5 10': three numbers"),
        (["--device", "tpu"], "unknown device 'tpu'; known: two-cores"),
        (["--trained_blocks", "25"], "25 trained blocks: the encoder has 24"),
        (["--costs", "nowhere.json"], "nowhere.json: no table of costs"),
    ],
)
def test_bad_input_is_one_line(options, complaint):
    done = run_tool("plan", "--hours", "10", *options, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {complaint}")


def test_other_costs(tmp_path):
    """As a benchmark may write them: twice the rate, half the time."""
    costs = json.loads(COSTS.read_text())
    costs["devices"]["a100"]["encoding"]["value"] *= 2
    (tmp_path / "costs.json").write_text(json.dumps(costs))
    stage = "5 states of encoder and teacher"
    once = values(plan(LARGE).time())[stage]
    twice = values(Plan(LARGE, read_costs(tmp_path / "costs.json")).time())[stage]
    start = 2 * costs["start"]["value"]
    assert twice - start == pytest.approx((once - start) / 2)
    (tmp_path / "costs.json").write_text("[]")
    with pytest.raises(DataError, match=r"costs\.json: no table of costs"):
        read_costs(tmp_path / "costs.json")
