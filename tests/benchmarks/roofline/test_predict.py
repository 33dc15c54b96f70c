"""Layer costs, and what they predict: exact where cost is work times a rate, with the errors of what was left out."""

import csv
import io
from dataclasses import replace

import pytest

from benchmarks.roofline.layers import SCHEMA_VERSION, LayerCosts, LayeredArtifact, layers, read_costs, to_csv
from benchmarks.roofline.predict import ARTEFACT, DEVICE, predict, summary
from runtime import open_artifact
from runtime.errors import InputError
from runtime.profiles import LayerTime

WORK = {"a": (1000, 50), "b": (3000, 10), "c": (500, 400)}  # multiply-adds of a convolution, elements of a resize


def costs(report, label: str, rate: float, names: str) -> LayerCosts:
    """Every multiply-add takes `rate` ms, and every element twice that."""
    made = []
    for name in names:
        macs, elements = WORK[name]
        layers = (
            LayerTime("c", "Convolution", "i8", macs, 7, rate * macs),
            LayerTime("r", "Interpolate", "i8", 0, elements, 2 * rate * elements),
        )
        made.append(LayeredArtifact(name, (64, 64), sum(one.ms for one in layers), layers))
    return LayerCosts(SCHEMA_VERSION, "2026-01-01", "0.1.0", report.device, None, 1, label, tuple(made))


def test_an_artefact_that_was_not_run_on_a_machine_is_predicted_from_others_there(report):
    here, there = costs(report, "here", 0.01, "abc"), costs(report, "there", 0.05, "ab")
    (unknown,) = (one for one in predict([here, there]) if one.measured_ms is None)
    assert (unknown.machine, unknown.artifact) == ("there, 2 cores, 1 threads", "c")
    assert unknown.ms == pytest.approx(0.05 * (500 + 2 * 400))
    assert unknown.low_ms == pytest.approx(unknown.ms) == unknown.high_ms  # every check was exact


def test_leaving_an_artefact_out_is_exact_and_leaving_a_faster_device_out_is_off_by_the_ratio(report):
    found = predict([costs(report, "here", 0.01, "ab"), costs(report, "there", 0.02, "ab")])
    errors = {basis: [one.error for one in found if one.basis == basis] for basis in (ARTEFACT, DEVICE)}
    assert errors[ARTEFACT] == pytest.approx([0.0] * 4)
    assert sorted(errors[DEVICE]) == pytest.approx([-0.5, -0.5, 1.0, 1.0])
    assert f"{DEVICE}: 4 checks, off by 75% (median), 100% (worst)" in list(summary(found))


def test_without_anything_to_leave_out_there_is_no_error_bar(report):
    (one,) = predict([costs(report, "here", 0.01, "a"), replace(costs(report, "here", 0.01, "b"), artifacts=())]) or [
        None
    ]
    assert one is None or one.low_ms is None
    assert all("no check" in line for line in summary([]))


def test_openvino_tells_what_the_layers_take(write_tiny, tmp_path):
    pytest.importorskip("openvino")
    found = layers([open_artifact(write_tiny())], threads=1, repeats=2)
    (one,) = found.artifacts
    assert one.layers and all(layer.ms >= 0 for layer in one.layers)
    assert sum(layer.multiply_adds for layer in one.layers) > 0
    head, *lines = csv.reader(io.StringIO(to_csv(found)))
    assert head[-1] == "ms" and len(lines) == len(one.layers)
    (tmp_path / "costs.json").write_text(found.to_json())
    assert read_costs(tmp_path / "costs.json") == found


def test_what_is_no_file_of_costs_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="no file of layer costs"):
        read_costs(tmp_path / "x.json")
