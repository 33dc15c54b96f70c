"""Losses: one file each, and the file's name is the loss's name. How terms are weighted: distill.weightings.

A loss has one of three roles: `supervised` learns from labels, `matching` from the teacher's probability, `boundary`
cares for outlines. A training takes at most one of each, and sums them by a weighting.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runtime.errors import InputError
from runtime.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Role = Literal["supervised", "matching", "boundary"]
Kind = Literal["regression", "classification"]
ROLES: tuple[Role, ...] = ("supervised", "matching", "boundary")
FIXED = frozenset({"name", "role", "kind", "needs_instances", "without_labels"})  # what a loss is, and no option of it


@dataclass(frozen=True, eq=False)
class LossInput:
    """What one training step knows.

    logits : (N, C, H, W), the student's, of any float type; channel 0 is the foreground
    target : (N, C, H, W), labels in {0, 1}; of any value in crops that are not labelled
    labelled : (N,) bool, whether the crop has an annotation
    teacher : (N, 1, H, W), the teacher's probability of the foreground in [0, 1], or (N, C, H, W) of all outputs, or
        None without a teacher
    instances : (N, H, W) int64, instance labels with 0 as background, or None where no loss needs them
    progress : share of the training that is done, in [0, 1]

    A shape that does not fit raises InputError, because broadcasting would hide it.
    """

    logits: Tensor
    target: Tensor
    labelled: Tensor
    teacher: Tensor | None = None
    instances: Tensor | None = None
    progress: float = 0.0

    def __post_init__(self) -> None:
        count, _, height, width = self.logits.shape
        wanted = {
            "target": tuple(self.logits.shape),
            "labelled": (count,),
            "teacher": (count, self.taught_outputs, height, width),
            "instances": (count, height, width),
        }
        for name, shape in wanted.items():
            found = getattr(self, name)
            if found is not None and tuple(found.shape) != shape:
                msg = f"{name} has shape {tuple(found.shape)}; logits of {wanted['target']} need {shape}."
                raise InputError(msg)

    @property
    def foreground(self) -> Tensor:
        """Logits of the foreground (N, 1, H, W), in float32 whatever the network computes in (float64 is kept)."""
        logits = self.logits[:, :1]
        return logits if logits.dtype.itemsize > 4 else logits.float()

    @property
    def truth(self) -> Tensor:
        """Labels of the foreground (N, 1, H, W), in the type of `foreground`."""
        return self.target[:, :1].to(self.foreground.dtype)

    def annotated(self) -> LossInput:
        """The labelled crops alone. A mean over none of them is not a number: ask `is_empty` first."""
        if bool(self.labelled.all()):
            return self  # as it is: a copy would be summed in another order
        kept = self.labelled
        return dataclasses.replace(
            self,
            logits=self.logits[kept],
            target=self.target[kept],
            labelled=kept[kept],
            teacher=None if self.teacher is None else self.teacher[kept],
            instances=None if self.instances is None else self.instances[kept],
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is no crop."""
        return len(self.logits) == 0

    def nothing(self) -> Tensor:
        """A loss of 0 whose gradient is 0 at every logit, even at infinite ones."""
        return self.foreground[:0].sum()

    @property
    def taught_outputs(self) -> int:
        """How many outputs the teacher has: all of them, or the foreground alone."""
        outputs = self.logits.shape[1]
        return outputs if self.teacher is not None and self.teacher.shape[1:2] == (outputs,) else 1

    @property
    def taught_logits(self) -> Tensor:
        """Logits (N, taught_outputs, H, W) of the outputs that the teacher has, in the type of `foreground`."""
        return self.logits[:, : self.taught_outputs].to(self.foreground.dtype)

    def teacher_foreground(self, loss: str) -> Tensor:
        """The teacher's foreground (N, 1, H, W) in the type of `foreground`; InputError when there is no teacher."""
        return self.teacher_probability(loss)[:, :1]

    def teacher_probability(self, loss: str) -> Tensor:
        """The teacher's probabilities (N, taught_outputs, H, W), in that type; InputError without a teacher."""
        if self.teacher is None:
            msg = f"The loss {loss!r} compares with a teacher, and there is none; name a teacher or leave the loss out."
            raise InputError(msg)
        return self.teacher.to(self.foreground.dtype)

    def objects(self, loss: str) -> Tensor:
        """The instance labels (N, H, W) int64; InputError when there are none."""
        if self.instances is None:
            msg = (
                f"The loss {loss!r} needs instance labels (every object its own number), and the data have none; "
                "give labels with instances or choose a loss that needs only the foreground, such as 'gradient'."
            )
            raise InputError(msg)
        return self.instances


class Loss:
    """Base of what a file of this folder offers as ``LOSS``: a frozen dataclass, whose fields are its options.

    name : the file's; role : what it learns from
    kind : which of Kendall's two forms weights it: a squared error is `regression`, all else `classification`
    needs_instances : whether `LossInput.instances` must be given
    without_labels : whether it learns from crops that only the teacher labels
    """

    name: str
    role: Role
    kind: Kind = "classification"
    needs_instances: bool = False
    without_labels: bool = False

    def __call__(self, batch: LossInput) -> Tensor:
        """A float32 scalar, not negative, differentiable in `batch.logits`."""
        raise NotImplementedError


REGISTRY: Registry[Loss] = Registry("losses", __name__, "LOSS")
names = REGISTRY.names


def names_by_role(role: Role) -> list[str]:
    """Names of the losses of one role; imports all losses."""
    return [name for name in names() if load(name).role == role]


def load(name: str, role: Role | None = None, options: Mapping[str, object] | None = None) -> Loss:
    """The loss called ``name``.

    role : the role it must have, if any
    options : values for its options, for example {"temperature": 4.0} for `hinton`
    InputError for an unknown name, another role, an unknown option or a value that it cannot have.
    """
    loss = REGISTRY.load(name)
    if role is not None and loss.role != role:
        msg = f"The loss {name!r} is {loss.role} and not {role}; choose one of {', '.join(names_by_role(role))}."
        raise InputError(msg)
    return _with_options(loss, options or {})


def _with_options(loss: Loss, options: Mapping[str, object]) -> Loss:
    known = {key: value for key, value in vars(loss).items() if key not in FIXED}
    values = {}
    for key, value in options.items():
        if key not in known:
            choice = f"its options are {', '.join(known)}" if known else "it has no options"
            msg = f"The loss {loss.name!r} has no option {key!r}; {choice}."
            raise InputError(msg)
        wanted = type(known[key])
        values[key] = float(value) if wanted is float and type(value) is int else value
        if type(values[key]) is not wanted:
            msg = f"Option {key!r} of the loss {loss.name!r} is {value!r}; it must be of type {wanted.__name__}."
            raise InputError(msg)
    return dataclasses.replace(loss, **values)  # type: ignore[type-var]
