"""Which roundings belong to which convolution, and what has to stay float with it."""

from functools import cache

import pytest

from compile.layers import kept_in_float, layers_of, members
from distill.int8.quantize import is_stored, tied_tensors


@pytest.fixture(scope="module")
def graphs(make_student):
    return cache(lambda variant: make_student(variant).graph())


@pytest.mark.slow
def test_every_rounded_tensor_belongs_to_a_layer(graphs, variant):
    graph = graphs(variant)
    groups = tied_tensors(graph)
    stored = {groups[node.meta["tensor"]] for node in graph.graph.nodes if is_stored(node)}
    assert set().union(*(layer.tensors for layer in layers_of(graph))) == stored


@pytest.mark.slow
def test_a_convolution_in_int8_reads_and_writes_rounded_tensors(graphs, variant):
    layers = layers_of(graphs(variant))
    for chosen in layers[::7]:
        floats = kept_in_float(layers, [chosen.name])
        assert chosen.name in floats.convolutions
        assert chosen.tensors <= floats.tensors
        for layer in layers:
            if layer.name not in floats.convolutions:
                assert not {layer.reads, layer.writes} & floats.tensors, layer.name


@pytest.mark.slow
def test_nothing_named_is_nothing_in_float(graphs):
    floats = kept_in_float(layers_of(graphs("mobilenetv3")), [])
    assert not floats.tensors
    assert not floats.convolutions


@pytest.mark.slow
def test_a_group_has_all_its_tensors(graphs):
    groups = tied_tensors(graphs("mobilenetv3"))
    group = groups["decoder.blocks.2:cat"]
    assert members(graphs("mobilenetv3"), frozenset([group])) == {name for name, of in groups.items() if of == group}
