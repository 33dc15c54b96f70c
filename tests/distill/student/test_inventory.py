"""The students' sizes: counted by both conventions, multiply-adds against a slow count, shown and written alike."""

import json

import pytest
import torch

from distill import students
from distill.__main__ import main
from distill.networks.spec import StudentSpec
from distill.student import description, inventory


@pytest.mark.parametrize(
    ("name", "backbone", "whole", "gmac", "paper"),
    [
        ("mobilenetv3", 0.927, 3.586, 2.558, 1.5),
        ("efficientnet_b0", 3.595, 5.834, 2.882, 5.3),
        ("resnet18", 11.170, 14.322, 5.305, 11),
        ("swin_tiny", 27.515, 31.625, 10.446, 27),
    ],
)
def test_sizes_are_those_of_the_public_networks(name, backbone, whole, gmac, paper):
    found = inventory.size(StudentSpec(name, name, decoder=inventory.LIBRARY_DECODER))
    assert found == {"backbone_m": backbone, "whole_m": whole, "paper_backbone_m": paper, "gmac": gmac}


@pytest.mark.parametrize("name", ["mobilenetv3", "resnet18"])
def test_multiply_adds_equal_a_slow_count_over_the_convolutions(name):
    spec = StudentSpec(name, name, tile=(64, 64))  # counted for 256 x 256 all the same
    model = students.load(name).build(spec).eval()
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, 1, 256, 256))
    assert inventory.size(spec)["gmac"] == pytest.approx(total / 1e9, abs=1e-3)


def test_a_narrower_decoder_and_no_gates_are_counted():
    spec = StudentSpec("small", "mobilenetv3")
    narrow = inventory.size(StudentSpec("small", "mobilenetv3", decoder=(16, 16, 16, 16, 16), squeeze_excite=False))
    wide = inventory.size(spec)
    assert narrow["gmac"] < wide["gmac"]
    assert narrow["whole_m"] - narrow["backbone_m"] < wide["whole_m"] - wide["backbone_m"]
    assert narrow["backbone_m"] < wide["backbone_m"]


def test_more_channels_cost_more():
    two = inventory.size(StudentSpec("two", "mobilenetv3", channels=("nucleus", "membrane")))
    assert two["gmac"] > inventory.size(StudentSpec("one", "mobilenetv3"))["gmac"]


def test_a_decoder_that_ends_early_is_counted_without_its_last_stages():
    (row,) = (row for row in inventory.inventory() if row["name"] == "plain")
    assert row["head_stride"] == 2
    assert row["paper_backbone_m"] is None
    assert row["decoders"]["library"]["decoder"] == [256, 128, 64, 32]


def test_the_command_prints_every_family_and_writes_the_same(tmp_path, capsys):
    assert main(["students", "--json", str(tmp_path / "sizes.json")]) == 0
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "sizes.json").read_text())
    rows = written["families"]
    for row in written["bundled"]:
        (line,) = (line for line in printed.splitlines() if line.startswith((f"{row['name']} ", f"{row['name']}* ")))
        assert all(f" {value:.3f} " in line for value in (*row["scores"].values(),))
        assert row["labels"] in line
    assert {row["name"] for row in written["bundled"] if row["default"]} == {description.DEFAULT}
    assert [row["name"] for row in rows] == list(students.names())
    for row in rows:
        (line,) = (line for line in printed.splitlines() if line.startswith(f"{row['name']} "))
        assert f" {row['backbone_m']:.2f} " in line
        assert all(f" {cost['gmac']:.2f} " in line for cost in row["decoders"].values())
        assert line.endswith("yes" if row["int8"] else "no")
        assert line.split()[1] == ("-" if row["paper_backbone_m"] is None else f"{row['paper_backbone_m']:g}")
    assert "plain: the decoder ends at half of the resolution" in printed
    assert "No int8 of swin_tiny: it is a transformer" in printed
    assert [row["name"] for row in rows if row["no_int8"]] == ["swin_tiny"]
