"""What the bundled students must show, on real images where they are at hand: accuracy, agreement, int8 throughout."""

import pytest

from compile import targets
from compile.accuracy.verify import TOLERANCES, Validation
from compile.build import run
from compile.request import Request
from distill.student import student as students
from runtime.artifact.probes import replay
from runtime.execution import Execution
from runtime.segmenter import Segmenter

pytestmark = pytest.mark.slow


TARGETS = targets.names()
LEAST_DICE = {"nuclei-fast": 0.91, "nuclei-accurate": 0.92}  # in fp32, on images of groups that training did not see
CONVOLUTIONS = {"nuclei-fast": 18, "nuclei-accurate": 40}


@pytest.fixture(scope="module", params=LEAST_DICE)
def bundled(request):
    return students.load(request.param)


@pytest.fixture(scope="module")
def images(request) -> str | None:
    """The images of BBBC038 as data; None where they are not at hand."""
    try:
        return f"bbbc038:{request.getfixturevalue('shared_data') / 'bbbc038' / 'stage1_train.zip'}"
    except pytest.skip.Exception:
        return None


@pytest.fixture(scope="module")
def compiled(bundled, images, tmp_path_factory):
    """The three int8 artefacts, measured on images that training did not see, or else on the student's own tiles."""
    request = Request(TARGETS, "int8", bundled.spec.tile, images, max_drop=0.5)
    made = run(bundled, request, tmp_path_factory.mktemp("compiled")).artifacts
    return {artifact.manifest.target: artifact for artifact in made}


@pytest.fixture(scope="module")
def validated(compiled, images):
    """The same, where there are such images."""
    if images is None:
        pytest.skip("the images of BBBC038 are not at hand")
    return compiled


@pytest.fixture(scope="module")
def recorded(bundled):
    """The tiles that travel with the student."""
    return Validation(bundled, None)


@pytest.mark.parametrize("target", TARGETS)
def test_int8_is_within_three_tenths_of_a_dice_point_of_fp32(validated, target):
    assert validated[target].manifest.accuracy.drop_points <= 0.3


def test_the_float_student_is_as_accurate_as_it_is_said_to_be(bundled, validated):
    accuracy = validated["intel"].manifest.accuracy
    assert accuracy.images == 78
    assert accuracy.float_scores["dice"].mean >= LEAST_DICE[bundled.spec.name]


def test_the_three_agree_pairwise_on_the_images(validated):
    for target, artifact in validated.items():
        others = {peer: row for peer, row in artifact.manifest.agreement.items() if peer in TARGETS}
        assert set(others) == set(validated) - {target}
        assert all(row.images_mask_dice >= 0.995 for row in others.values())


@pytest.mark.parametrize("target", TARGETS)
def test_the_tiles_that_travel_with_the_student_lose_little(recorded, compiled, target):
    assert recorded.untrained() is None
    assert recorded.accuracy(compiled[target], None).drop_points <= 0.5


@pytest.mark.parametrize("target", ["intel", "microscope"])
def test_every_convolution_runs_in_int8(bundled, compiled, target):
    operators = compiled[target].manifest.operators
    assert operators.int8_convolutions == operators.convolutions == CONVOLUTIONS[bundled.spec.name]


@pytest.mark.parametrize("target", TARGETS)
def test_the_probes_replay_within_the_shipped_tolerance(compiled, target):
    artifact = compiled[target]
    assert artifact.manifest.tolerance == TOLERANCES["int8"]
    with Segmenter.of(artifact, Execution("onnxruntime" if target == "jetson" else None)) as segment:
        found = replay(segment.run_tile, artifact.probes(), artifact.manifest.threshold)
    assert not found.misses(artifact.manifest.tolerance)
