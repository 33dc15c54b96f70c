"""What `import runtime` costs in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = "torch onnx onnxruntime openvino ai_edge_litert tflite_runtime skimage scipy tifffile PIL pydantic rich typer"


def output_of(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "module", ["runtime", "runtime.__main__", "runtime.images.planes", "runtime.objects.instances"]
)
def test_nothing_heavy_is_imported(module: str):
    found = output_of(f"import sys, {module}; print([m for m in {HEAVY.split()} if m in sys.modules])")
    assert found == "[]\n"


def test_the_package_alone_does_not_even_need_numpy():
    assert output_of("import sys, runtime.errors, runtime.system.atomic; print('numpy' in sys.modules)") == "False\n"


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert output_of("import runtime; print(hasattr(runtime, 'Segmentor'))") == "False\n"


def test_only_numpy_comes_from_outside():
    code = (
        "import sys, runtime.segmenter; known = {*sys.stdlib_module_names, 'numpy', 'runtime', '__main__'};"
        "print(sorted({m.partition('.')[0] for m in sys.modules} - known))"
    )
    outside = [name for name in eval(output_of(code)) if not name.startswith(("_", "sitecustomize", "usercustomize"))]
    allowed = {"distutils-precedence", "cython_runtime"}
    assert set(outside) <= allowed


def test_the_import_is_quick_beyond_numpy():
    code = (
        "import time, numpy; start = time.process_time(); import runtime.segmenter; print(time.process_time() - start)"
    )
    assert min(float(output_of(code)) for _ in range(3)) < 0.15


def test_the_names_of_the_package_are_there():
    code = "import runtime; print(all(hasattr(runtime, name) for name in runtime.__all__), runtime.__version__)"
    assert output_of(code).startswith("True 0.")


def test_every_public_name_is_there():
    import runtime

    missing = [name for name in runtime.__all__ if not hasattr(runtime, name)]
    assert missing == []
    assert set(runtime.__all__) <= set(dir(runtime))
    assert {name for names in runtime.HOMES.values() for name in names} == set(runtime.__all__) - {"__version__"}


def test_an_unknown_name_is_an_attribute_error():
    import runtime

    with pytest.raises(AttributeError, match="has no attribute 'Segmentor'"):
        _ = runtime.Segmentor
