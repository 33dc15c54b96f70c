"""The phases of a training: passes that make one step, early stops, half precision, and several processes together."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from distill import settings as configuration
from distill.config.sections import Config, LossSection, TeacherSection
from distill.int8.graph import flatten
from distill.int8.quantize import scheme_of
from distill.student import student as students
from distill.training import phases
from distill.training.data import TrainingData
from distill.training.history import read_history
from distill.training.phases import Averaged, Best, WriteCheckpoint, float_phase, quantized_phase
from distill.training.train import fit

ROOT = Path(__file__).parents[3]
TINY = ROOT / "configs" / "tiny.toml"
CHANGES = ("float.batch=4", "qat.batch=4", "qat.steps=12", "trainer.validate=6")


@pytest.fixture
def config() -> Config:
    return configuration.load(TINY, CHANGES)


def course(work: Path, phase: str, key: str) -> dict[int, float]:
    """What was logged under a key, by step."""
    history = read_history(work / "logs")
    return {moment.step: moment.values[key] for moment in history if moment.phase == phase and key in moment.values}


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return float(sum((one[name] - other[name]).square().sum() for name in one)) ** 0.5


@pytest.mark.slow
def test_two_passes_of_two_crops_make_the_step_of_four(
    config: Config, student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With scales that stand and batch normalisation folded, nothing else knows how many crops are in a pass."""
    monkeypatch.setattr(phases, "prepare", lambda graph: student.quantized())
    before, found = students.graph_weights(student.quantized()), {}
    for name, batch, accumulate in (("four", 4, 1), ("two", 2, 2), ("other", 2, 1)):
        settings = replace(config, qat=replace(config.qat, steps=4, batch=batch, accumulate=accumulate))
        work = tmp_path / name
        work.mkdir()
        found[name] = students.graph_weights(
            quantized_phase(settings, TrainingData(settings), student.quantized(), work)
        )
    moved = distance(found["four"], before)
    assert distance(found["two"], found["four"]) < 0.05 * moved
    assert distance(found["other"], found["four"]) > 0.2 * moved  # half the crops make another step


@pytest.mark.slow
def test_channels_are_evened_out_before_int8_is_learnt(config: Config, build, tmp_path: Path):
    """A channel that is a hundred times as large, which the next convolution takes back, does not decide the scale."""
    config, scales = replace(config, qat=replace(config.qat, steps=2)), []
    for size in (1.0, 100.0):
        graph = flatten(build("efficientnet_lite0"), (64, 64))
        weights = graph.state_dict()
        stem, read = weights["encoder.body.conv_stem.weight"], weights["encoder.body.blocks.0.0.conv_dw.weight"]
        bias = weights["encoder.body.conv_stem.bias"]
        with torch.no_grad():
            alive = bias.argmax()
            stem[alive] *= size
            bias[alive] *= size
            read[alive] /= size
        work = tmp_path / f"{size:g}"
        work.mkdir()
        prepared = quantized_phase(config, TrainingData(config), graph, work)
        scales.append(scheme_of(prepared).activations["encoder.body.bn1.act:relu"])
    assert scales[1] < 10 * scales[0]


@pytest.mark.slow
def test_half_precision_trains_float_weights(config: Config, tmp_path: Path):
    settings = replace(config, float=replace(config.float, precision="bf16-mixed"))
    model = float_phase(settings, TrainingData(settings), tmp_path)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
    single = float_phase(config, TrainingData(config), tmp_path / "single")
    ours, theirs = (course(work, "float", "train/loss")[2] for work in (tmp_path, tmp_path / "single"))
    assert ours != theirs
    assert ours == pytest.approx(theirs, rel=0.05)
    assert model is not single


@pytest.mark.slow
def test_terms_and_weights_of_a_distilled_student_are_logged_at_every_step(config: Config, tmp_path: Path):
    teacher = TeacherSection(name="masks", weights="labels:nuclei", store=str(tmp_path / "store"))
    loss = LossSection(matching="mse", boundary="gradient", weighting="kendall")
    settings = replace(config, teacher=teacher, loss=loss)
    float_phase(settings, TrainingData(settings), tmp_path)
    for role in ("supervised", "matching", "boundary"):
        assert sorted(course(tmp_path, "float", f"train/{role}")) == [1, 2, 3, 4]
        weights = course(tmp_path, "float", f"train/weight_{role}")
        assert sorted(weights) == [1, 2, 3, 4]
        assert len(set(weights.values())) > 1  # they are learnt


@pytest.mark.slow
def test_weights_are_logged_at_every_step_without_a_teacher_as_well(config: Config, tmp_path: Path):
    settings = replace(config, loss=LossSection(boundary="gradient", weighting="liebel"))
    float_phase(settings, TrainingData(settings), tmp_path)
    assert sorted(course(tmp_path, "float", "train/weight_boundary")) == [1, 2, 3, 4]


def test_a_finished_phase_is_not_trained_again(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from distill.students import load

    data = TrainingData(config)
    torch.manual_seed(1)
    weights = load("mobilenetv3").build(data.spec).state_dict()
    (tmp_path / "float.safetensors").write_bytes(safetensors.torch.save(weights))
    monkeypatch.setattr(phases, "_trainer", lambda *_: pytest.fail("trained"))
    model = float_phase(config, data, tmp_path)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())


def validate(best: Best, dice: float, weight: float) -> SimpleNamespace:
    trainer = SimpleNamespace(callback_metrics={"val/dice": dice}, is_global_zero=True, should_stop=False)
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, weight)
    best.on_validation_end(trainer, SimpleNamespace(model=model))
    return trainer


def kept(best: Best) -> float:
    return float(safetensors.torch.load_file(best.path)["weight"])


def test_the_best_weights_are_kept_and_training_stops_when_none_better_come(tmp_path: Path):
    best = Best(tmp_path / "best.safetensors", patience=2)
    stops = [validate(best, dice, step).should_stop for step, dice in enumerate((0.1, 0.5, 0.4, 0.6, 0.6, 0.5))]
    assert stops == [False, False, False, False, False, True]
    assert kept(best) == 3.0  # the first of two that are equally good


def test_what_is_known_of_the_best_survives_a_checkpoint(tmp_path: Path):
    first = Best(tmp_path / "best.safetensors", patience=2)
    validate(first, 0.5, 1.0)
    validate(first, 0.4, 2.0)
    resumed = Best(tmp_path / "best.safetensors", patience=2)
    resumed.load_state_dict(first.state_dict())
    assert validate(resumed, 0.45, 3.0).should_stop
    assert kept(resumed) == 1.0


def test_a_run_that_was_killed_after_it_had_to_stop_stops_at_once(tmp_path: Path):
    best = Best(tmp_path / "best.safetensors", patience=1)
    best.load_state_dict({"dice": 0.5, "waited": 1})
    trainer = SimpleNamespace(should_stop=False)
    best.on_train_start(trainer, SimpleNamespace())
    assert trainer.should_stop


def interrupt_at(step: int):
    """The checkpoint of that step is the last thing a run does."""
    write = WriteCheckpoint.on_train_epoch_end

    def interrupt(self: WriteCheckpoint, trainer, pl_module) -> None:
        write(self, trainer, pl_module)
        if trainer.global_step == step:
            raise KeyboardInterrupt

    return interrupt


@pytest.mark.slow
def test_an_early_stop_is_the_same_in_a_run_that_was_interrupted(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every validation finds the same: the first one is the best, and the third one stops the training."""
    monkeypatch.setattr("distill.training.module.dice", lambda mask, truth: 0.5)
    trainer = replace(config.trainer, interval=1, validate=1, patience=2)
    patient = replace(config, float=replace(config.float, steps=8, batch=1), trainer=trainer)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    uninterrupted = float_phase(patient, TrainingData(patient), whole).state_dict()
    assert sorted(course(whole, "float", "val/dice")) == [1, 2, 3]
    with monkeypatch.context() as patch:
        patch.setattr(WriteCheckpoint, "on_train_epoch_end", interrupt_at(2))
        with pytest.raises(KeyboardInterrupt):
            float_phase(patient, TrainingData(patient), parts)
    resumed = float_phase(patient, TrainingData(patient), parts).state_dict()
    assert sorted(course(parts, "float", "val/dice")) == [1, 2, 3]
    last = torch.load(whole / "float.ckpt", weights_only=True)["state_dict"]
    for found in (uninterrupted, resumed):
        assert all(torch.equal(found[name], value) for name, value in uninterrupted.items())
        assert not all(torch.equal(found[name], last[f"model.{name}"]) for name in found)  # the best, not the last


def average(states: list[dict[str, torch.Tensor]], decay: float) -> dict[str, torch.Tensor]:
    """The moving average of weights, slowly; it begins with the first of them."""
    found = {name: value for name, value in states[0].items() if value.is_floating_point()}
    for later in states[1:]:
        found = {name: decay * value + (1 - decay) * later[name] for name, value in found.items()}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("patience", "averaged"), [(0, 8), (2, 2)])
def test_what_is_kept_is_the_average_of_the_weights_in_an_interrupted_run_as_well(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, averaged: int
):
    """With patience it is the average that was scored best: every validation finds the same, so that of two steps."""
    monkeypatch.setattr("distill.training.module.dice", lambda mask, truth: 0.5)
    lean = replace(
        config,
        student=replace(config.student, family="plain", encoder=(4, 8), decoder=(4,), head_stride=2),
        float=replace(config.float, steps=8, batch=1, average=0.5, learning_rate=0.02),
        trainer=replace(config.trainer, validate=1, patience=patience),
    )
    states: list[dict[str, torch.Tensor]] = []
    update = Averaged.on_train_batch_end

    def watch(self: Averaged, trainer, pl_module, *rest) -> None:
        states.append({name: value.clone() for name, value in pl_module.model.state_dict().items()})
        update(self, trainer, pl_module, *rest)

    monkeypatch.setattr(Averaged, "on_train_batch_end", watch)
    kept = float_phase(lean, TrainingData(lean), tmp_path / "whole").state_dict()
    due = average(states[:averaged], 0.5)
    for name, value in due.items():
        torch.testing.assert_close(kept[name], value)
    assert not all(torch.allclose(kept[name], states[averaged - 1][name]) for name in due)

    with monkeypatch.context() as patch:
        patch.setattr(WriteCheckpoint, "on_train_epoch_end", interrupt_at(4))
        with pytest.raises(KeyboardInterrupt):
            float_phase(lean, TrainingData(lean), tmp_path / "parts")
    resumed = float_phase(lean, TrainingData(lean), tmp_path / "parts").state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in kept.items())


TOGETHER = (*CHANGES, "trainer.devices=2", "float.batch=2", "qat.batch=2")


def start(folder: Path) -> subprocess.Popen[str]:
    """Two processes that train together, in a session of their own."""
    command = [sys.executable, "-m", "distill", "fit", str(TINY), "--out", "together"]
    command += [part for setting in TOGETHER for part in ("--set", setting)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)


def left(leader: int) -> list[int]:
    """Processes of a session that live on although their end was due."""
    deadline = time.monotonic() + 30
    while (found := _session(leader)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _session(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_two_processes_train_as_one_does_with_twice_the_crops(config: Config, tmp_path: Path):
    """Batch statistics cannot be shared on a CPU: the float phase agrees at its first step, and roughly.

    The phase for int8 has them folded, and its scales are those of both processes: there, from the same weights, every
    step agrees. In between the two are interrupted, and go on.
    """
    work = tmp_path / "together.training"
    first = start(tmp_path)
    while first.poll() is None and not (work / "qat.ckpt").exists():
        time.sleep(0.005)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=600)
    assert first.returncode == 130, said
    assert said.splitlines()[-1] == "error: interrupted; run the same command again to go on"
    assert not left(first.pid)
    assert not (tmp_path / "together").exists()

    second = start(tmp_path)
    out, said = second.communicate(timeout=600)
    assert second.returncode == 0, said
    assert out.count("tiny is in together: validation Dice") == 1
    assert not left(second.pid)
    assert [path.name for path in tmp_path.iterdir() if (path / "student.json").exists()] == ["together"]
    assert students.load(tmp_path / "together").scheme is not None

    alone = tmp_path / "alone.training"
    fit(config, tmp_path / "alone")
    ours, theirs = (course(folder, "float", "train/loss") for folder in (work, alone))
    assert ours[2] == pytest.approx(theirs[2], rel=0.2)

    taken_up = tmp_path / "again.training"
    taken_up.mkdir()
    (taken_up / "float.safetensors").write_bytes((work / "float.safetensors").read_bytes())
    fit(config, tmp_path / "again")
    ours, theirs = (course(folder, "qat", "train/loss") for folder in (work, taken_up))
    assert sorted(ours) == sorted(theirs) == [2, 4, 6, 8, 10, 12]
    assert ours[2] == pytest.approx(theirs[2], rel=1e-3)
    assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-2)
