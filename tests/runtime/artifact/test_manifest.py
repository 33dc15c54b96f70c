"""Manifest: what is written is read back, and what does not fit is refused by its dotted path."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import InputError
from runtime.artifact.manifest import Lineage, Manifest, Normalization, Objects, QuantScheme, TensorSpec
from runtime.records import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def changed(manifest: Manifest, change: Callable[[dict[str, Any]], object]) -> str:
    fields = manifest.to_dict()
    change(fields)
    return json.dumps(fields)


def test_a_manifest_is_read_back_as_it_was_written(manifest: Manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_text_is_stable_and_readable(manifest: Manifest):
    text = manifest.to_json()
    assert text == Manifest.from_json(text).to_json()
    assert text.startswith('{\n  "schema_version": 2,\n  "student": "tiny",\n')


@given(
    st.builds(
        Lineage,
        st.none() | TEXT,
        TEXT,
        st.just(()),
        st.lists(TEXT).map(tuple),
        st.dictionaries(TEXT, TEXT),
        TEXT,
        st.lists(TEXT).map(tuple),
    )
)
def test_any_text_survives(lineage: Lineage):
    assert Lineage.from_json(lineage.to_json()) == lineage


@given(st.dictionaries(TEXT, st.floats(1e-300, 1e300)))
def test_scales_survive_to_the_last_bit(scales: dict[str, float]):
    assert QuantScheme.from_json(QuantScheme(scales).to_json()).activations == scales


def test_a_whole_number_serves_as_a_number(manifest: Manifest):
    read = Manifest.from_json(changed(manifest, lambda m: m.update(threshold=1)))
    assert read.threshold == 1.0
    assert type(read.threshold) is float


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(colour=1), ["Unknown field colour"]),
        (lambda m: m["lineage"].update(author="me"), ["Unknown field lineage.author"]),
        (lambda m: m["inputs"][0].update(range=1), ["Unknown field inputs[0].range"]),
        (lambda m: m.pop("threshold"), ["Field threshold is missing"]),
        (lambda m: m["normalization"].pop("low"), ["Field normalization.low is missing"]),
        (lambda m: m["lineage"]["data"][0].pop("licence"), ["Field lineage.data[0].licence is missing"]),
        (lambda m: m.update(threshold="0.5"), ["threshold must be a number", "'0.5'"]),
        (lambda m: m.update(threshold=True), ["threshold must be a number", "True"]),
        (lambda m: m.update(overlap=8.0), ["overlap must be a whole number", "8.0"]),
        (lambda m: m.update(student=None), ["student must be text", "None"]),
        (lambda m: m.update(tile=[256]), ["tile must be a list of 2", "[256]"]),
        (lambda m: m.update(tile=[256, "256"]), ["tile[1] must be a whole number", "'256'"]),
        (lambda m: m.update(payload=["a"]), ["payload must be an object", "['a']"]),
        (lambda m: m["payload"].update(onnx=3), ["payload.onnx must be text", "3"]),
        (lambda m: m.update(notes="hello"), ["notes must be a list", "'hello'"]),
        (lambda m: m["files"].update({"a.bin": {"sha256": "", "bytes": "3"}}), ["files.a.bin.bytes", "'3'"]),
        (lambda m: m["normalization"].update(low=50, high=2), ["normalization: ", "low=50.0, high=2.0"]),
        (lambda m: m["normalization"].update(method="minmax"), ["normalization: ", "'minmax'"]),
        (lambda m: m["scheme"]["activations"].update(x=0), ["scheme: ", "scale of x is 0.0"]),
        (lambda m: m["objects"].update(core_threshold=2), ["objects: ", "core_threshold is 2.0"]),
        (lambda m: m["objects"].update(min_area=-1), ["objects: ", "min_area is -1"]),
        (lambda m: m["inputs"][0].update(layout="HWC"), ["inputs[0]: ", "'HWC'"]),
        (lambda m: m["outputs"][0].update(meaning=["foreground"]), ["outputs[0]: ", "names 1 channels", "has 2"]),
        (lambda m: m["outputs"][0].update(meaning=["core", "x"]), ["'foreground' must be among"]),
        (lambda m: m["inputs"].append(m["inputs"][0]), ["inputs holds 2 tensors"]),
        (lambda m: m.update(outputs=[]), ["outputs holds 0 tensors"]),
        (lambda m: m.update(threshold=1.5), ["threshold is 1.5"]),
        (lambda m: m.update(overlap=32), ["overlap is 32", "(32, 48)"]),
        (lambda m: m.update(tile=[0, 8]), ["tile is (0, 8)"]),
        (lambda m: m.update(tile=[10**9, 48]), ["tile is (1000000000, 48), and inputs[0] has (32, 48) pixels"]),
        (lambda m: m.update(pixel_size_um=0), ["pixel_size_um is 0.0; it must be over 0 micrometres"]),
        (lambda m: m["tolerance"].update(probability_max=1e308), ["tolerance: ", "probability_max is 1e+308"]),
        (lambda m: m["tolerance"].update(mask_dice=-1), ["tolerance: ", "mask_dice is -1.0"]),
        (lambda m: m["probes"].update(count=0), ["probes: ", "count is 0"]),
        (lambda m: m["inputs"][0].update(shape=[1, 1, -32, 48]), ["inputs[0]: ", "every side must be at least 1"]),
        (lambda m: m.update(schema_version=1), ["schema_version is 1", "version 2", "compile the student again"]),
        (lambda m: m.update(schema_version="1"), ["schema_version must be a whole number", "'1'"]),
    ],
)
def test_what_does_not_fit_is_refused_by_name(manifest: Manifest, change, words: list[str]):
    with pytest.raises(InputError) as caught:
        Manifest.from_json(changed(manifest, change))
    for word in words:
        assert word in str(caught.value)


def test_an_unknown_version_is_said_before_its_unknown_fields(manifest: Manifest):
    with pytest.raises(InputError, match="schema_version is 7"):
        Manifest.from_json(changed(manifest, lambda m: m.update(schema_version=7, colour=1)))


def test_a_character_in_two_escapes_is_one():
    assert parse_json('["\\ud83d\\ude00"]') == ["\U0001f600"]


def test_many_names_are_read_or_refused_at_once():
    """A.8: nothing that is quadratic in the names, wherever one of them stands twice."""
    names = ", ".join(f'"{number}": 0' for number in range(600_000))
    start = time.process_time()
    with pytest.raises(InputError, match="599999 stands twice"):
        parse_json(f'{{{names}, "599999": 1}}')
    with pytest.raises(InputError, match="Unknown field 0"):
        Normalization.from_json(f"{{{names}}}")
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no JSON"),
        ("[1]", "must be an object"),
        ('{"low": 1, "low": 2}', "low stands twice"),
        ('{"method": "percentile", "low": NaN, "high": 99}', "NaN"),
        ('{"method": "percentile", "low": 1e999, "high": 99}', "1e999"),
        ('{"method": "percentile", "low": ' + "9" * 5000 + ', "high": 99}', "5000 digits"),
        ("[" * 100_000, "no JSON"),
        ('{"method": "\\ud800", "low": 1, "high": 99}', "half a character"),
        ('{"\\uDFFF": 1}', "half a character"),
    ],
)
def test_traps_of_json_are_refused(text: str, word: str):
    with pytest.raises(InputError, match=word):
        Normalization.from_json(text)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: Normalization(low=5, high=5), "low=5"),
        (lambda: Normalization(low=-1), "low=-1"),
        (lambda: Normalization(high=float("nan")), "high=nan"),
        (lambda: QuantScheme({"x": float("inf")}), "inf"),
        (lambda: Objects(0.5, -1), "-1"),
        (lambda: Objects(0.5, 2**63), "9223372036854775808"),
        (lambda: TensorSpec("x", (1, 2), "float32", "NCHW", ()), "2 axes"),
    ],
)
def test_values_are_checked_when_they_are_made(build, word: str):
    with pytest.raises(InputError, match=word):
        build()


def test_an_optional_field_may_be_missing_and_is_checked_where_it_is(manifest: Manifest):
    with pytest.raises(InputError, match=r"intensity\.focus must be a number"):
        known = {"quantiles": [50], "lowest": [0.1], "highest": [0.2], "focus": "sharp", "frames": 1}
        Manifest.from_json(changed(manifest, lambda m: m.update(intensity=known)))
    with pytest.raises(InputError, match="quantiles is empty"):
        known = {"quantiles": [], "lowest": [], "highest": [], "focus": 0.1, "frames": 1}
        Manifest.from_json(changed(manifest, lambda m: m.update(intensity=known)))
    with pytest.raises(InputError, match="1 quantiles, 0 lowest"):
        known = {"quantiles": [50], "lowest": [], "highest": [0.2], "focus": 0.1, "frames": 1}
        Manifest.from_json(changed(manifest, lambda m: m.update(intensity=known)))


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("TissueNet licence, modified Apache-2.0: non-commercial, academic use", True),
        ("Noncommercial", True),
        ("CC BY-NC 4.0", True),
        ("cc-by-nc-sa-4.0", True),
        ("CC BY 4.0", False),
        ("Apache-2.0", False),
        ("MIT; of NCI's data", False),
    ],
)
def test_a_licence_for_non_commercial_use_alone_is_known(licence: str, said: bool):
    assert Lineage(None, "", (), ("MIT", licence), {}, "").non_commercial is said
