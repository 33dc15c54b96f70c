"""Standard operators that TensorRT's parser has no form for, from 8.5 to 11 (its own table of supported operators)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compile.lint.view import called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compile.lint.view import View

LACKING = frozenset(
    """
    Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Compress ConcatFromSequence DFT Det HannWindow
    HammingWindow BlackmanWindow MaxRoiPool MaxUnpool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional
    OptionalGetElement OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert
    SequenceLength SequenceMap SoftmaxCrossEntropyLoss SplitToSequence STFT StringNormalizer TfIdfVectorizer Unique
    Col2Im AffineGrid ImageDecoder RegexFullMatch StringConcat StringSplit
    """.split()
)


def defects(view: View) -> Iterator[str]:
    """Every operator has a form in TensorRT."""
    for node in view.nodes:
        if node.op_type in LACKING:
            yield (
                f"{called(node)} is a {node.op_type}, which TensorRT has no form for; "
                "build the student without it, or compile for --target intel"
            )
