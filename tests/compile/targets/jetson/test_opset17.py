"""The graph for readers of opset 17."""

import numpy as np
import onnx
import pytest

from compile.accuracy.verify import reference
from compile.targets.jetson.opset17 import to_opset_17


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mobilenetv3", "mobilenetv3_se", "efficientnet_b0", "resnet18"])
def test_it_is_valid_in_opset_17_and_computes_the_same(variant, rounded, fields):
    source = rounded(variant)
    model = to_opset_17(source)
    onnx.checker.check_model(model, full_check=True)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    assert "HardSwish" not in {node.op_type for node in model.graph.node}
    due, found = reference(source)(fields[:1]), reference(model)(fields[:1])
    # Mul(x, HardSigmoid(x)) may round a sum the other way than HardSwish(x): a code, seldom.
    assert np.mean(np.abs(found - due) > 1e-6) < 0.02
    np.testing.assert_allclose(found, due, atol=0.05)


@pytest.mark.slow
def test_the_source_is_left_as_it_was(rounded):
    source = rounded("mobilenetv3")
    before = source.SerializeToString(deterministic=True)
    to_opset_17(source)
    assert source.SerializeToString(deterministic=True) == before
