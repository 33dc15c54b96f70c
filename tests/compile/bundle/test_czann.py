"""The .czann file: ZEISS's own package reads it, and its model makes the masks that a Segmenter makes of a tile."""

import json
import zipfile
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from compile import targets
from compile.accuracy.verify import reference
from compile.bundle import serving
from compile.bundle.czann import czann, description, in_full_range
from compile.bundle.zoo import MODEL, with_rounding_written_out
from runtime.artifact.artifact import open_artifact
from runtime.errors import InputError
from runtime.frames.normalize import normalize

TILE = (64, 64)


@pytest.fixture
def artifact(write_tiny, make_graph):
    """An artefact's manifest, with the model for the zoo of a small student."""
    opened = open_artifact(write_tiny("intel"))
    model = with_rounding_written_out(make_graph("mobilenetv3").reference)
    outputs = tuple(make_graph("mobilenetv3").student.spec.outputs)
    result = replace(opened.manifest.outputs[0], meaning=outputs, shape=(1, len(outputs), *TILE))
    manifest = replace(opened.manifest, tile=TILE, outputs=(result,), threshold=0.4, pixel_size_um=0.5)
    files = {MODEL: model.SerializeToString()}
    return SimpleNamespace(manifest=manifest, files=files, path=opened.path, read=files.__getitem__, model=model)


def run(artifact, tile):
    """Probabilities (h, w, 2) of a tile as ZEN hands it over."""
    data = in_full_range(artifact).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"raw": tile[None, :, :, None].astype(np.float32)})[0][0]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [("uint8", 255), ("uint16", 65535)])
def test_the_class_is_that_of_the_student_on_the_scaled_tile(artifact, dtype, most):
    frame = np.random.default_rng(0).gamma(2, most / 20, TILE).clip(0, most).astype(dtype)
    result = run(artifact, frame / most)
    maps = reference(artifact.model)(normalize(frame, artifact.manifest.normalization)[None, None])
    foreground = maps[0, artifact.manifest.channels.index("foreground")]
    sure = np.abs(foreground - artifact.manifest.threshold) > 1e-3
    assert 0 < (foreground > artifact.manifest.threshold).mean() < 1
    np.testing.assert_array_equal((result.argmax(-1) == 1)[sure], (foreground > artifact.manifest.threshold)[sure])
    np.testing.assert_allclose(result.sum(-1), 1, atol=1e-6)
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.slow
def test_a_tile_of_one_value_is_a_tile_of_zeros(artifact):
    np.testing.assert_array_equal(run(artifact, np.full(TILE, 0.3)), run(artifact, np.zeros(TILE)))


@pytest.mark.slow
def test_zeiss_s_own_package_reads_the_file(artifact, tmp_path):
    extract = pytest.importorskip("czmodel.core.util._extract_model").extract_czann_model
    (tmp_path / "a.czann").write_bytes(czann(artifact))
    (tmp_path / "out").mkdir()
    metadata, model = extract(str(tmp_path / "a.czann"), tmp_path / "out")
    assert metadata.model_type.name == "SINGLE_CLASS_SEMANTIC_SEGMENTATION"
    assert metadata.input_shape == [*TILE, 1]
    assert metadata.output_shape == [*TILE, len(metadata.classes)]
    assert metadata.scaling == pytest.approx((5e-7, 5e-7))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (image,), (result,) = session.get_inputs(), session.get_outputs()
    assert image.shape == [1, *metadata.input_shape]
    assert result.shape == [1, *metadata.output_shape]
    assert image.type == result.type == "tensor(float)"


@pytest.mark.slow
def test_equal_artefacts_give_equal_files_of_plain_json(artifact):
    data = czann(artifact)
    assert data == czann(artifact)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.namelist() == ["model.json", "model.model", "LICENSE.txt"]
        assert json.loads(archive.read("model.json")) == description(artifact)


def test_an_odd_overlap_is_made_even(write_tiny):
    opened = open_artifact(write_tiny("intel"))
    odd = SimpleNamespace(manifest=replace(opened.manifest, overlap=9), path=opened.path)
    assert description(odd)["MinOverlap"] == [10, 10]


def test_an_artefact_without_the_model_is_refused(write_tiny):
    artifact = open_artifact(write_tiny("intel"))
    assert MODEL not in artifact.files
    with pytest.raises(InputError, match="compile it again"):
        serving.write("czann", artifact, targets.load("intel").served["czann"])
    assert not serving.place_of("czann", artifact.path).exists()


@pytest.mark.slow
def test_the_folder_holds_the_file_and_says_what_it_is(artifact):
    place = serving.write("czann", artifact, targets.load("intel").served["czann"])
    name = artifact.path.name
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "SHA256SUMS", f"{name}.czann"]
    assert f"{name}.czann" in (place / "README.md").read_text(encoding="utf-8")
    assert serving.write("czann", artifact, targets.load("intel").served["czann"]) == place  # replaces its own
