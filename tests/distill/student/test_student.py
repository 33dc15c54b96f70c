"""A student on disk: what was saved is loaded, what was changed is refused, and nothing is unpickled."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill.int8.graph import flatten
from distill.student import description
from distill.student import student as students
from distill.student.student import DESCRIPTION, PROBES, SCHEME, WEIGHTS
from runtime.artifact.manifest import QuantScheme
from runtime.errors import InputError


@pytest.fixture
def copy(student_folder: Path, tmp_path: Path) -> Path:
    """The student's folder, to be changed."""
    return Path(shutil.copytree(student_folder, tmp_path / "tiny"))


def test_what_was_saved_is_loaded(student, student_folder: Path):
    loaded = students.load(student_folder)
    assert loaded.spec == student.spec
    assert loaded.scheme == student.scheme
    assert loaded.lineage == student.lineage
    assert loaded.metrics == student.metrics
    assert loaded.weights.keys() == student.weights.keys()
    assert all(torch.equal(loaded.weights[name], weight) for name, weight in student.weights.items())


def test_a_student_of_another_name_and_threshold_is_not_traced_again(student, monkeypatch: pytest.MonkeyPatch):
    first = student.graph()
    monkeypatch.setattr(students, "trace", lambda *_: pytest.fail("traced again"))
    other = replace(student, spec=replace(student.spec, name="other", threshold=0.3)).graph()
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(other(image), first(image))
    with pytest.raises(pytest.fail.Exception, match="traced again"):
        replace(student, spec=replace(student.spec, decoder=(4, 4, 4, 4, 4))).graph()


@pytest.mark.parametrize("family", ["plain", "mobilenetv3", pytest.param("swin_tiny", marks=pytest.mark.slow)])
def test_a_trained_network_gives_the_graph_that_tracing_it_gives(build, spec, family: str):
    network, described = build(family), spec(family)
    traced, found = flatten(network, described.tile), students.flat(network, described)
    assert found.code == traced.code
    assert found.state_dict().keys() == traced.state_dict().keys()
    assert all(torch.equal(found.state_dict()[name], weight) for name, weight in traced.state_dict().items())
    again = students.flat(network, described)
    assert again.code == traced.code
    assert all(weight.requires_grad for weight in again.parameters())


def test_a_network_of_another_kind_has_no_such_graph(build, spec):
    with pytest.raises((KeyError, RuntimeError)):
        students.flat(build("resnet18"), spec("mobilenetv3"))


def test_probes_travel_with_the_student(student, student_folder: Path):
    ((frame, labels),) = students.load(student_folder).probes
    assert frame.dtype == torch.uint16
    assert labels.dtype == torch.int32
    assert torch.equal(frame.int(), student.probes[0][0].int())


def test_a_student_of_before_lean_decoders_is_written_as_ever_and_read(copy: Path, student):
    """A key that says nothing is left out, so that an older edgescope reads the file, too."""
    described = json.loads((copy / DESCRIPTION).read_text())["spec"]
    assert not {"encoder", "head_stride", "separable"} & described.keys()
    assert students.load(copy).spec == student.spec


def test_a_lean_student_says_so(student, spec, tmp_path: Path):
    """An edgescope that does not know the key refuses the file by it."""
    students.save(replace(student, spec=spec("plain", encoder=(4, 6, 8, 10, 12))), tmp_path)
    described = json.loads((tmp_path / DESCRIPTION).read_text())["spec"]
    assert described["head_stride"] == 2
    assert described["encoder"] == [4, 6, 8, 10, 12]
    assert "separable" not in described


@pytest.mark.parametrize("name", students.names())
def test_the_bundled_students_are_read(name: str):
    assert students.load(name).spec.name == name


def test_a_description_that_nobody_can_build_is_refused_with_its_file(copy: Path):
    _change(copy, lambda text: text | {"spec": text["spec"] | {"head_stride": 3}})
    with pytest.raises(InputError, match=r"student\.json: spec\.head_stride is 3, but the decoder of mobilenetv3"):
        students.load(copy)


def test_a_loaded_student_computes_the_same(student, student_folder: Path):
    tile = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    loaded = students.load(student_folder)
    with torch.no_grad():
        assert torch.equal(loaded.graph()(tile), student.graph()(tile))
        assert torch.equal(loaded.quantized()(tile), student.quantized()(tile))


def test_a_student_computes_tiles_of_other_sizes(student):
    with torch.no_grad():
        assert student.graph((96, 32))(torch.rand(1, 1, 96, 32)).shape == (1, 2, 96, 32)


@pytest.mark.parametrize(("tile", "nearest"), [((100, 64), "96x64"), ((0, 64), "32x64"), ((-64, 64), "32x64")])
def test_a_tile_that_is_no_multiple_of_the_stride_is_refused(student, tile: tuple[int, int], nearest: str):
    with pytest.raises(InputError, match=f"try {nearest}"):
        student.graph(tile)


def test_a_student_without_scales_has_no_int8(student):
    with pytest.raises(InputError, match="--precision fp16 or fp32"):
        replace(student, scheme=None).quantized()


@pytest.mark.parametrize("scheme", [None, QuantScheme(activations={"input": 0.01})])
def test_a_family_without_int8_says_why_and_what_to_use(student, scheme):
    swin = replace(student, spec=replace(student.spec, family="swin_tiny"), scheme=scheme)
    with pytest.raises(InputError, match=r"no int8 form: it is a transformer.*; use --precision fp16 or fp32\.$"):
        swin.quantized()


def test_a_student_without_scales_and_probes_is_saved_and_loaded(student, tmp_path: Path):
    students.save(replace(student, scheme=None, probes=()), tmp_path)
    loaded = students.load(tmp_path)
    assert loaded.scheme is None
    assert loaded.probes == ()


def test_changed_weights_are_refused(copy: Path):
    data = bytearray((copy / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (copy / WEIGHTS).write_bytes(data)
    with pytest.raises(InputError, match="was changed"):
        students.load(copy)


@pytest.mark.parametrize("name", [WEIGHTS, PROBES, DESCRIPTION, SCHEME])
def test_a_truncated_file_is_refused_by_name(copy: Path, name: str):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=name):
        students.load(copy)


@pytest.mark.parametrize("scale", ["0", "-0.1", "NaN", "Infinity", "null", '"large"'])
def test_a_scale_that_cannot_be_is_refused_with_its_file_and_tensor(copy: Path, scale: str):
    text = (copy / SCHEME).read_text()
    (copy / SCHEME).write_text(re.sub(r'("decoder.blocks.0:cat": )[\d.e-]+', rf"\g<1>{scale}", text))
    with pytest.raises(InputError, match=rf"{SCHEME}: .*decoder\.blocks\.0:cat"):
        students.load(copy)


def test_missing_weights_are_refused_by_name(copy: Path):
    (copy / WEIGHTS).unlink()
    with pytest.raises(InputError, match=WEIGHTS):
        students.load(copy)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(copy: Path, tmp_path: Path):
    torch.save({"weight": Trap(tmp_path / "sprung")}, copy / WEIGHTS)
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        students.load(copy)
    assert not (tmp_path / "sprung").exists()


def test_an_unknown_name_lists_the_bundled_ones(monkeypatch: pytest.MonkeyPatch, student_folder: Path):
    monkeypatch.setattr(description, "PRETRAINED", student_folder.parent)
    assert students.names() == ["tiny"]
    assert students.load("tiny").spec.name == "tiny"
    with pytest.raises(InputError, match=r"neither bundled \(tiny\) nor a folder"):
        students.load("giant")


@pytest.mark.parametrize("name", ["../tiny", "", ".", "/"])
def test_a_name_is_no_way_out_of_the_bundled_folder(name: str):
    with pytest.raises(InputError, match="There is no student"):
        students.load(name)


def test_an_unknown_schema_version_is_refused(copy: Path):
    _change(copy, lambda text: text | {"schema_version": 99})
    with pytest.raises(InputError, match="schema version 99"):
        students.load(copy)


@pytest.mark.parametrize("part", ["spec", "lineage"])
def test_a_description_without_a_part_is_refused(copy: Path, part: str):
    _change(copy, lambda text: {key: value for key, value in text.items() if key != part})
    with pytest.raises(InputError, match=part):
        students.load(copy)


def test_an_unknown_field_of_the_spec_is_refused_by_name(copy: Path):
    _change(copy, lambda text: text | {"spec": text["spec"] | {"hallucinate": True}})
    with pytest.raises(InputError, match=r"spec\.hallucinate"):
        students.load(copy)


def test_weights_of_another_shape_are_refused(student):
    wide = replace(student, spec=replace(student.spec, decoder=(16, 8, 8, 8, 8)))
    with pytest.raises(InputError, match=r"has shape"):
        wide.graph()


def test_parameters_are_counted_both_ways(student):
    count = students.parameters(student.spec)
    assert 0 < count["backbone_m"] < count["whole_m"]
    assert count["paper_backbone_m"] == 1.5


def test_the_digest_depends_on_names_shapes_and_values():
    weights = {"a": torch.zeros(2, 3)}
    others = [{"b": torch.zeros(2, 3)}, {"a": torch.zeros(3, 2)}, {"a": torch.ones(2, 3)}]
    digests = {students.weights_digest(other) for other in [weights, *others]}
    assert len(digests) == 4
    assert students.weights_digest({"a": torch.zeros(2, 3)}) in digests


def _change(folder: Path, change):
    path = folder / DESCRIPTION
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
