"""What a .tflite file says about itself, read with the positions of the published schema."""

from types import SimpleNamespace

import flatbuffers
import numpy as np
import pytest
from flatbuffers.table import Table

import runtime
from compile.targets.microscope import file as litert_file
from compile.targets.microscope import lowering as microscope
from compile.targets.microscope.graph import interpreter
from compile.targets.microscope.metadata import METADATA, described, metadata

UOFFSET = flatbuffers.number_types.UOffsetTFlags
FLOAT = flatbuffers.number_types.Float32Flags
BYTE = flatbuffers.number_types.Uint8Flags


class Reader:
    """A table of a FlatBuffer, read by position: independent of how it was written."""

    def __init__(self, table):
        self.table = table

    @classmethod
    def root(cls, data):
        return cls(Table(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0)))

    def at(self, slot):
        return self.table.Offset(4 + 2 * slot)

    def text(self, slot):
        return self.table.String(self.table.Pos + self.at(slot)).decode()

    def child(self, slot):
        return Reader(Table(self.table.Bytes, self.table.Indirect(self.table.Pos + self.at(slot))))

    def children(self, slot):
        start, count = self.table.Vector(self.at(slot)), self.table.VectorLen(self.at(slot))
        return [Reader(Table(self.table.Bytes, self.table.Indirect(start + 4 * number))) for number in range(count)]

    def floats(self, slot):
        start, count = self.table.Vector(self.at(slot)), self.table.VectorLen(self.at(slot))
        return [self.table.Get(FLOAT, start + 4 * number) for number in range(count)]

    def byte(self, slot):
        return self.table.Get(BYTE, self.table.Pos + self.at(slot))


@pytest.fixture(scope="module")
def bare_and_described(make_graph):
    """The file as the converters leave it, and as it is shipped."""
    bare = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(microscope, "described", lambda model, graph: bare.append(model) or described(model, graph))
        lowered = microscope.lower(make_graph("mobilenetv3"))
    return bare[0], lowered.files["model.tflite"]


@pytest.fixture(scope="module")
def model(bare_and_described):
    return bare_and_described[1]


@pytest.fixture(scope="module")
def about(model):
    held = litert_file.unpack(model)
    (entry,) = (item for item in held.metadata if item.name == METADATA.encode())
    data = bytes(held.buffers[entry.buffer].data)
    assert data[4:8] == b"M001"
    return Reader.root(data)


@pytest.mark.slow
def test_the_signature_names_image_and_probability(model):
    found = interpreter(model)
    assert found.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["probability"]}}
    assert found.get_input_details()[0]["name"] == "image"
    assert found.get_output_details()[0]["name"] == "probability"


@pytest.mark.slow
def test_the_signature_runs_by_name(model, fields):
    run = interpreter(model).get_signature_runner()
    assert run(image=fields[:1].transpose(0, 2, 3, 1))["probability"].shape == (1, 64, 64, 2)


@pytest.mark.slow
def test_the_description_says_what_it_is(model):
    said = litert_file.unpack(model).description.decode()
    assert said == f"tiny-mobilenetv3 in int8, compiled by edgescope {runtime.__version__}"


@pytest.mark.slow
def test_the_model_has_name_version_author_and_licences(about):
    assert about.text(0) == "tiny-mobilenetv3"
    assert "one fluorescence channel" in about.text(1)
    assert about.text(2) == runtime.__version__
    assert about.text(4) == "edgescope"
    assert about.text(5) == "Apache-2.0"


@pytest.mark.slow
def test_the_image_is_grey_and_between_0_and_1(about):
    (subgraph,) = about.children(3)
    (image,) = subgraph.children(2)
    assert image.text(0) == "image"
    assert "percentiles 0.1 and 99.8 of the whole frame" in image.text(1)
    assert (image.child(3).byte(0), image.child(3).child(1).byte(0)) == (2, 2)  # ImageProperties, GRAYSCALE
    (unit,) = image.children(4)
    assert (unit.byte(0), unit.child(1).floats(0), unit.child(1).floats(1)) == (1, [0.0], [1.0])
    assert (image.child(5).floats(0), image.child(5).floats(1)) == ([1.0], [0.0])


@pytest.mark.slow
def test_the_probability_names_its_channels(about):
    (subgraph,) = about.children(3)
    (probability,) = subgraph.children(3)
    assert probability.text(0) == "probability"
    assert "channels: foreground, core" in probability.text(1)


@pytest.mark.slow
def test_no_bit_of_the_output_changes(bare_and_described, fields):
    bare, model = bare_and_described
    image = fields[:1].transpose(0, 2, 3, 1)
    outputs = []
    for each in (bare, model):
        found = interpreter(each)
        found.set_tensor(found.get_input_details()[0]["index"], image)
        found.invoke()
        outputs.append(found.get_tensor(found.get_output_details()[0]["index"]).copy())
    np.testing.assert_array_equal(*outputs)
    assert METADATA.encode() in model
    assert METADATA.encode() not in bare


@pytest.mark.slow
def test_every_constant_lies_inside_the_file_at_a_multiple_of_16(model):
    from ai_edge_litert import schema_py_generated as schema

    held = schema.Model.GetRootAs(model, 0)
    buffers = [held.Buffers(number) for number in range(held.BuffersLength())]
    assert {buffer.Offset() for buffer in buffers} == {0}
    starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
    assert len(starts) > 90
    assert {start % 16 for start in starts} == {0}


@pytest.mark.slow
def test_describing_twice_leaves_one_description(model, make_graph):
    held = litert_file.unpack(described(model, make_graph("mobilenetv3")))
    assert [item.name for item in held.metadata].count(METADATA.encode()) == 1


def test_a_student_for_non_commercial_use_says_so(make_graph):
    from dataclasses import replace

    graph = make_graph("mobilenetv3")
    lineage = replace(graph.student.lineage, licences=("CC BY-NC 4.0",))
    graph = SimpleNamespace(student=replace(graph.student, lineage=lineage), tile=graph.tile, precision="int8")
    assert Reader.root(metadata(graph)).text(5) == "CC BY-NC 4.0; non-commercial use only"
