"""Artefacts are compiled by another process, and what it refuses is told."""

import pytest

from distill.adapt.artefacts import compile_artefacts
from runtime.errors import EdgescopeError


def test_what_compile_refuses_is_told_with_the_next_step(tmp_path):
    with pytest.raises(EdgescopeError, match=r"cannot be compiled for nowhere: There is no target 'nowhere'.*by hand"):
        compile_artefacts(tmp_path / "student", ["nowhere"], "int8", tmp_path / "artefacts")
