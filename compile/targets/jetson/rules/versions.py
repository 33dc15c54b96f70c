"""What the parsers of TensorRT 8.5 to 11 read (TensorRT's own table of supported operators)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from compile.lint.view import DEQUANTIZE, QUANTIZE, called
from compile.targets.jetson.opset17 import OPSET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import ModelView

SMALLEST = 2.0**-14  # below, fp16 is subnormal, and GPUs may take it for 0
FIRST_HALF = 19  # the opset since which QuantizeLinear has a form in half precision
LACKING = frozenset(
    """
    Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Compress ConcatFromSequence DFT Det HannWindow
    HammingWindow BlackmanWindow MaxRoiPool MaxUnpool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional
    OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert
    SequenceLength SequenceMap SoftmaxCrossEntropyLoss SplitToSequence STFT StringNormalizer TfIdfVectorizer Unique
    Col2Im AffineGrid ImageDecoder RegexFullMatch StringConcat StringSplit
    """.split()
)
REMEDIES = {
    "HardSwish": "write it as Mul(x, HardSigmoid(x))",
    "Gelu": "write it with Erf",
    "Mish": "write it as Mul(x, Tanh(Softplus(x)))",
    "GroupNormalization": "write it with InstanceNormalization",
    "CastLike": "write it as Cast",
    "IsInf": "build it from other operators",
    "Hardmax": "build it from other operators",
}


def lacking_operators(view: ModelView) -> Iterator[str]:
    """Every operator has a form in TensorRT, from 8.5 to 11."""
    for node in view.nodes:
        if node.op_type in LACKING:
            yield (
                f"{called(node)} is a {node.op_type}, which TensorRT has no form for; "
                "build the student without it, or compile for another target"
            )


def half_scales(view: ModelView) -> Iterator[str]:
    """Every scale is a normal number of fp16: an engine in half precision stores it so."""
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is None:
            continue
        wide = scale.astype(np.float64)
        wrong = (wide > 0) & np.isfinite(wide) & ((_half(wide) != wide) | (wide < SMALLEST))  # others: lint.scales
        if wrong.any():
            value = float(wide[wrong].flat[0])
            yield (
                f"the scale {value:.8g} of {called(node)} is no normal number of fp16 (nearest: {_half(value):.8g}); "
                "train the quantised phase, which rounds scales up to such numbers"
            )


def _half(value: np.ndarray | float) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(value).astype(np.float16).astype(np.float64)


def half_needs_opset_19(view: ModelView) -> Iterator[str]:
    """Scales in fp16, as in the file for TensorRT 10 and 11, need opset 19."""
    if view.opset() >= FIRST_HALF:
        return
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is not None and scale.dtype == np.float16:
            yield (
                f"{called(node)} is typed in fp16, which opset {view.opset()} does not know; export opset {FIRST_HALF}"
            )


def at_most_opset_17(view: ModelView) -> Iterator[str]:
    """Opset 17 or older, and only what TensorRT 8.5 and 8.6 have a form for."""
    if view.opset() > OPSET:
        yield f"the model is written in opset {view.opset()}; TensorRT 8 reads opset {OPSET} at most"
    for node in view.nodes:
        if remedy := REMEDIES.get(node.op_type):
            yield f"{called(node)} is a {node.op_type}, which TensorRT 8 lacks; {remedy}"
    for node in view.kind(QUANTIZE, DEQUANTIZE):
        scale = view.scale(node)
        if scale is not None and scale.dtype != "float32":
            yield f"{called(node)} has a scale of {scale.dtype}; TensorRT 8 reads float32 scales alone"
