"""What OpenVINO Model Server and Triton load: the model runs from there, and the configuration describes it."""

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from compile import targets
from compile.__main__ import main
from compile.bundle import serving
from runtime.artifact.artifact import open_artifact
from runtime.errors import InputError

openvino = pytest.importorskip("openvino")
NAME = "tiny-intel-fp32"


@pytest.fixture
def intel(write_tiny):
    return open_artifact(write_tiny("intel", NAME))


@pytest.fixture
def jetson(write_tiny):
    return open_artifact(write_tiny("jetson"))


def write(layout, artifact):
    return serving.write(layout, artifact, targets.load(artifact.manifest.target).served[layout])


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def outputs(model, tiles):
    """What OpenVINO makes of a model file."""
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(tile[None])[0] for tile in tiles])


def pbtxt(text):
    """Protobuf's text form as dicts and lists: a reader of what Triton's own would read, no more."""
    tokens = re.findall(r'"[^"]*"|[\w.]+|[{}\[\],:]', text)
    assert "".join(tokens) == re.sub(r"\s", "", text), "nothing is left over"

    def value(first):
        if first == "{":
            return message()
        if first == "[":
            items = []
            while (token := tokens.pop(0)) != "]":
                if token != ",":
                    items.append(value(token))
            return items
        return json.loads(first) if first[0] in '"0123456789' else first

    def message():
        found = {}
        while tokens and tokens[0] != "}":
            key, token = tokens.pop(0), tokens.pop(0)
            item = value(tokens.pop(0) if token == ":" else token)
            found.setdefault(key, []).append(item)
        if tokens:
            tokens.pop(0)
        return found

    return message()


def test_ovms_finds_its_model_by_its_configuration(intel):
    place = write("ovms", intel)
    assert place.name == f"{NAME}-ovms"
    assert names(place) == ["README.md", "SHA256SUMS", "config.json", f"{NAME}/1/model.bin", f"{NAME}/1/model.xml"]
    (entry,) = json.loads((place / "config.json").read_text())["model_config_list"]
    assert entry["config"]["name"] == NAME
    base = place / entry["config"]["base_path"]  # relative to config.json
    probes = intel.probes()
    np.testing.assert_allclose(outputs(base / "1" / "model.xml", probes.inputs), probes.outputs, atol=1e-3)


def test_ovms_is_told_the_pinned_precision(intel):
    hinted = replace(intel, manifest=replace(intel.manifest, hints={"INFERENCE_PRECISION_HINT": "f32"}))
    place = write("ovms", hinted)
    (entry,) = json.loads((place / "config.json").read_text())["model_config_list"]
    plugin = entry["config"]["plugin_config"]
    assert plugin == {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    openvino.Core().compile_model(place / NAME / "1" / "model.xml", entry["config"]["target_device"], plugin)


@pytest.mark.parametrize("target", ["intel", "jetson"])
def test_triton_s_configuration_describes_the_model(target, request):
    artifact = request.getfixturevalue(target)
    place = write("triton", artifact)
    name = artifact.path.name
    config = pbtxt((place / name / "config.pbtxt").read_text())
    assert (config["name"], config["max_batch_size"]) == ([name], [0])
    assert config["backend"] == ["openvino" if target == "intel" else "onnxruntime"]
    (file,) = config["default_model_filename"]
    model = openvino.Core().read_model(place / name / "1" / file)
    for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
        ((described,),) = config[kind]
        assert described["name"] == [tensors[0].any_name]
        assert described["dims"] == [list(tensors[0].shape)]
        assert described["data_type"] == ["TYPE_FP32"]
    probes = artifact.probes()
    np.testing.assert_allclose(outputs(model, probes.inputs), probes.outputs, atol=1e-3)


@pytest.mark.parametrize("layout", serving.SERVERS)
def test_sums_cover_all_files(layout, intel):
    place = write(layout, intel)
    sums = dict(reversed(line.split("  ")) for line in (place / "SHA256SUMS").read_text().splitlines())
    assert sorted(sums) == [name for name in names(place) if name != "SHA256SUMS"]
    assert all(hashlib.sha256((place / name).read_bytes()).hexdigest() == digest for name, digest in sums.items())


def test_its_readme_says_what_a_client_must_do_itself(intel):
    text = (write("ovms", intel) / "README.md").read_text()
    assert "percentiles" in text
    assert "the server itself was not run" in text


def test_a_layout_replaces_its_own_and_nothing_else(intel):
    place = write("ovms", intel)
    (place / "config.json").write_text("damaged")
    write("ovms", intel)
    assert json.loads((place / "config.json").read_text())
    (place / NAME / "2").mkdir()
    (place / NAME / "2" / "mine.xml").write_text("mine")
    with pytest.raises(InputError, match=rf"in the way and is not overwritten: it holds {NAME}/2/mine.xml"):
        write("ovms", intel)
    assert (place / NAME / "2" / "mine.xml").read_text() == "mine"


def test_a_file_in_its_place_is_left_alone(intel):
    place = serving.place_of("triton", intel.path)
    place.write_text("mine")
    with pytest.raises(InputError, match="it is a file"):
        serving.check("triton", intel.path)
    assert place.read_text() == "mine"


@pytest.mark.parametrize(
    ("layout", "target", "words"),
    [
        ("ovms", "microscope", "--layout ovms is for --target intel, not for microscope; use --target intel or all."),
        ("ovms", "jetson", "--layout ovms is for --target intel, not for jetson; use --target intel or all."),
        ("triton", "microscope", "--layout triton is for --target intel or jetson, not for microscope"),
        ("tensorflow", "intel", "--layout is 'tensorflow'; choose one of ovms, triton, czann."),
    ],
)
def test_what_a_server_cannot_run_is_refused_before_the_work(layout, target, words, tmp_path, capsys):
    assert main(["--target", target, "--layout", layout, "--out", str(tmp_path / "a")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "a").exists()
