"""The contract of every target in every precision: an artefact that opens, runs and proves itself."""

import gc
import hashlib
import json
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from compile import targets
from compile.bundle.card import write_card
from compile.bundle.rdf import write_rdf
from compile.bundle.zoo import ZooModel
from runtime.artifact.artifact import open_artifact, write_artifact
from runtime.artifact.probes import replay
from runtime.errors import InputError
from runtime.segmenter import Segmenter

ALL = ("intel", "jetson", "microscope")
PRECISIONS = ("int8", "fp16", "fp32")
EVERY = [(target, precision) for precision in PRECISIONS for target in ALL]
FIELDS = (
    "schema_version student target backend precision inputs outputs normalization tile overlap threshold scheme probes "
    "tolerance files accuracy agreement lineage payload"
)
every = pytest.mark.parametrize(("target", "precision"), EVERY)


def open_here(artifact):
    backend = "onnxruntime" if artifact.manifest.target == "jetson" else None
    return Segmenter.open(artifact.path, backend=backend, threads=1)


@contextmanager
def files_left_open():
    """bioimageio.spec leaves files open, and Python says so whenever it notices; see to it that it does here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()


def test_names_are_the_files_and_import_none_of_them():
    assert targets.names() == tuple(sorted(ALL))
    script = (
        "import sys; from compile import targets; targets.names();"
        "print([m for m in sys.modules if m.startswith('compile.targets.') or m in ('torch', 'onnx', 'openvino')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["abacus", "", "../intel", "INTEL"])
def test_an_unknown_target_is_refused_with_the_known_ones(name):
    with pytest.raises(InputError, match="choose one of intel, jetson, microscope"):
        targets.load(name)


@pytest.mark.parametrize("name", ALL)
def test_a_target_is_called_like_its_file(name):
    assert targets.load(name).name == name


@pytest.mark.slow
@every
def test_it_opens_replays_its_probes_and_segments(target, precision, built, fields):
    artifact = built(precision)[target]
    with open_here(artifact) as segment:
        probes = artifact.probes()
        found = replay(segment.run_tile, probes, artifact.manifest.threshold)
        assert found.misses(artifact.manifest.tolerance) == ()
        result = segment((fields[0, 0, :50, :41] * 60000).astype(np.uint16))
    assert result.probability.shape == result.core.shape == (50, 41)
    assert result.mask.any()
    assert result.labels().max() > 0


@pytest.mark.slow
@every
def test_it_holds_every_field_and_file_of_the_contract(target, precision, built):
    artifact = built(precision)[target]
    content = json.loads((artifact.path / "manifest.json").read_text())
    assert set(FIELDS.split()) <= content.keys()
    assert {"teacher", "weights_sha256", "data", "licences", "versions", "command"} <= content["lineage"].keys()
    assert artifact.path.name == f"tiny-mobilenetv3-{target}-{precision}"
    assert (content["target"], content["precision"]) == (target, precision)
    assert (content["scheme"] is None) == (precision != "int8")
    peers = {"reference", *ALL} - {target}
    variants = {f"fp16_file: {peer}" for peer in peers} if target == "jetson" and precision != "fp32" else set()
    assert content["agreement"].keys() == peers | variants
    assert content["accuracy"]["scores"]["dice"]["mean"] > 0.9
    assert content["probes"]["count"] == 2
    zoo = {"rdf.yaml", "model.zoo.onnx", "test_input.npy", "test_output.npy"}
    files = {"manifest.json", "probes.npz", "CARD.md", "SHA256SUMS", *zoo, *artifact.manifest.payload.values()}
    assert {path.name for path in artifact.path.iterdir()} == files


@pytest.mark.slow
@every
def test_its_sums_cover_all_files(target, precision, built):
    path = built(precision)[target].path
    lines = (path / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert sums.keys() == {entry.name for entry in path.iterdir()} - {"SHA256SUMS"}
    assert all(hashlib.sha256((path / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())


@pytest.mark.slow
@every
def test_its_description_is_valid_for_the_model_zoo(target, precision, built):
    from bioimageio.spec import ValidationContext, validate_format
    from ruyaml import YAML

    path = built(precision)[target].path
    content = YAML(typ="safe").load((path / "rdf.yaml").read_text())
    with files_left_open():
        summary = validate_format(content, context=ValidationContext(root=path, perform_io_checks=True))
    assert summary.status != "failed", summary.errors
    assert content["type"] == "model"
    assert content["license"] == "Apache-2.0"
    assert {item["source"] for item in content["attachments"]} == set(
        built(precision)[target].manifest.payload.values()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "target", "zipped"),
    [("int8", "intel", False), ("int8", "microscope", True), ("fp16", "jetson", False)],
)
def test_the_model_zoo_runs_it_and_gets_the_test_output(precision, target, zipped, built, tmp_path):
    core = pytest.importorskip("bioimageio.core", reason="bioimageio.core is not installed; it is the extra zoo")
    made = built(precision)[target]
    files = {name: data for name, data in made.files.items() if name not in ("manifest.json", "SHA256SUMS")}
    place = write_artifact(tmp_path / "artifact", made.manifest, files, zip=zipped).path
    with files_left_open():
        summary = core.test_description(place if zipped else place / "rdf.yaml")
    assert summary.status == "passed", summary.display()
    assert any("Reproduce test outputs" in detail.name for detail in summary.details)
    open_artifact(place)  # it left nothing there


@pytest.mark.slow
def test_the_model_zoo_notices_another_output(built, tmp_path):
    core = pytest.importorskip("bioimageio.core", reason="bioimageio.core is not installed; it is the extra zoo")
    for name, data in built("int8")["intel"].files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "test_output.npy").write_bytes((tmp_path / "test_output.npy").read_bytes()[:-4] + b"\0\0\x80?")
    with files_left_open():
        assert core.test_description(tmp_path / "rdf.yaml").status == "failed"


@pytest.mark.slow
@every
def test_its_card_names_teacher_licences_and_accuracy(target, precision, built):
    artifact = built(precision)[target]
    card = (artifact.path / "CARD.md").read_text()
    assert "- teacher: a teacher" in card
    assert "- licences: Apache-2.0" in card
    assert "non-commercial" not in card
    assert f"{artifact.manifest.accuracy.scores['dice'].mean:.4f}" in card
    tables = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} <= {6}, "rows and headings have the same columns"


@pytest.mark.slow
def test_a_licence_that_forbids_commerce_is_on_the_card_and_in_the_description(built):
    manifest = built("fp32")["intel"].manifest
    words = "TissueNet licence, modified Apache-2.0: non-commercial, academic use"
    manifest = replace(manifest, lineage=replace(manifest.lineage, licences=("Apache-2.0", words)))
    card = write_card(manifest, "tiny", targets.load("intel"))
    assert words in card
    assert "may be used for non-commercial purposes only" in card
    description = write_rdf(manifest, "tiny-intel-fp32", ZooModel(19, {}), built("fp32")["intel"].files)
    assert words in description
    assert "license: Apache-2.0" not in description
    assert "- non-commercial" in description


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "roles"),
    [
        ("int8", {"onnx": 17, "onnx_fp16_qdq": 19, "onnx_fp16": 19}),
        ("fp16", {"onnx": 17, "onnx_fp16": 19}),
        ("fp32", {"onnx": 17}),
    ],
)
def test_the_jetson_bundle_holds_what_tensorrt_reads_and_says_what_was_not_measured(precision, roles, built):
    artifact = built(precision)["jetson"]
    assert artifact.manifest.payload.keys() == roles.keys()
    for role, opset in roles.items():
        model = onnx.ModelProto.FromString(artifact.payload(role))
        assert model.opset_import[0].version == opset
    assert any("neither built nor timed here" in note for note in artifact.manifest.notes)
    opinion = artifact.manifest.operators.details["second_opinion"]
    assert f"{opinion['said']}." in artifact.manifest.notes
    if opinion["asked"]:
        assert sorted(opinion["parsed"]) == sorted(artifact.manifest.payload.values())
        assert len(opinion["built"]) == 1
    assert "neither built nor timed here" in (artifact.path / "CARD.md").read_text()


@pytest.mark.slow
def test_the_three_int8_artefacts_agree_with_each_other(built):
    for target, artifact in built("int8").items():
        for peer, found in artifact.manifest.agreement.items():
            assert found.mask_dice > 0.985, (target, peer)


@pytest.mark.slow
@every
def test_a_changed_byte_is_refused(target, precision, built, tmp_path: Path):
    artifact = built(precision)[target]
    name = next(iter(artifact.manifest.payload.values()))
    copy = tmp_path / "copy"
    copy.mkdir()
    for entry in artifact.path.iterdir():
        (copy / entry.name).write_bytes(entry.read_bytes())
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        open_artifact(copy)
