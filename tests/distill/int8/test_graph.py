"""The flat graph of every student: the same numbers as the module, without batch normalisation and in-place writes."""

import pytest
import torch

from distill import students
from distill.int8.graph import aten, convolutions, flatten, parameter, tensor_name

TILE = (64, 64)
FAMILIES = students.names()


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow) if name == "swin_tiny" else name for name in FAMILIES],
)
def pair(request, build):
    """A module and its graph."""
    model = build(request.param)
    return model, flatten(model, TILE)


def test_families_are_listed_without_importing_them():
    assert {"mobilenetv3", "efficientnet_b0", "resnet18", "swin_tiny"} <= set(FAMILIES)


@pytest.mark.parametrize("batch", [1, 3])
def test_folding_keeps_the_outputs(pair, batch: int):
    model, graph = pair
    tiles = torch.rand(batch, 1, *TILE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = model(tiles), graph(tiles)
    assert found.shape == (batch, 2, *TILE)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_no_batch_normalisation_is_left(pair):
    targets = {str(node.target) for node in pair[1].graph.nodes}
    assert not any("batch_norm" in target for target in targets)


def test_no_operation_writes_in_place(pair):
    names = [node.target._schema.name for node in pair[1].graph.nodes if hasattr(node.target, "_schema")]
    assert names
    assert not [name for name in names if name.endswith("_")]


def test_tensor_names_are_unique(pair):
    names = [tensor_name(node) for node in pair[1].graph.nodes if node.op in ("placeholder", "call_function")]
    assert len(set(names)) == len(names)


def test_tensor_names_last(pair):
    model, graph = pair
    again = flatten(model, (96, 64))

    def names(flat):
        return [node.meta["tensor"] for node in flat.graph.nodes if "tensor" in node.meta]

    assert names(again) == names(graph)


def test_a_name_tells_the_module(build):
    names = {node.meta.get("tensor") for node in flatten(build("mobilenetv3"), TILE).graph.nodes}
    assert {"input", "decoder.blocks.0.conv1.0:conv2d", "segmentation_head.0:conv2d"} <= names


def test_weights_are_called_as_in_the_student(pair):
    model, graph = pair
    weights = [str(node.all_input_nodes[1].target) for node in convolutions(graph)]
    assert set(weights) <= set(model.state_dict())
    assert {name.removesuffix("weight") + "bias" for name in weights} | set(weights) <= set(graph.state_dict())


def test_the_graph_is_trainable(pair):
    graph = pair[1]
    graph.zero_grad()
    graph.train()(torch.rand(2, 1, *TILE)).square().mean().backward()
    parts = [parameter(graph, node) for convolution in convolutions(graph) for node in convolution.all_input_nodes[1:3]]
    assert all(part.grad is not None for part in [*parts, *graph.parameters()])


def test_folding_does_not_change_the_module(build):
    model = build("mobilenetv3")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flatten(model, TILE)
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_part_without_channels_is_not_concatenated():
    class Halved(torch.nn.Module):
        def forward(self, tile):
            nothing = torch.empty(tile.shape[0], 0, *tile.shape[2:])
            return torch.cat([torch.cat([tile, nothing], 1), nothing, 2 * tile], 1)

    graph = flatten(Halved(), TILE)
    tiles = torch.rand(3, 1, *TILE)
    assert torch.equal(graph(tiles), torch.cat([tiles, 2 * tiles], 1))
    joined = [node for node in graph.graph.nodes if node.target is aten.cat.default]
    assert [len(node.all_input_nodes) for node in joined] == [2]


def test_batch_normalisation_without_a_convolution_is_refused():
    class Bare(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm2d(1)

        def forward(self, tile):
            return self.norm(tile)

    with pytest.raises(ValueError, match="cannot be folded"):
        flatten(Bare(), TILE)
