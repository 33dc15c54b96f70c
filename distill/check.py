"""A dry run: does every file, channel, label and weight that a configuration names exist?

Said before hours are spent, and all at once: a list of facts, and a list of problems with the next step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distill import datasets, teachers
from distill.objective import terms_of
from runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from distill.config import Config
    from distill.datasets import Dataset

CHANNELS_OF = {"sam": "rgb", "cellsam": "rgb"}  # teachers whose channels the configuration names


@dataclass
class Examination:
    """facts : what is there, in words; problems : what is not, each with the next step"""

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], str | None]) -> None:
        """Note the fact that a step returns, or the problem that it raises."""
        try:
            fact = step()
        except InputError as error:
            self.problems.append(str(error))
        else:
            if fact:
                self.facts.append(fact)

    def raise_problems(self) -> None:
        """InputError with all problems, where there are any."""
        if self.problems:
            raise InputError(" ".join(self.problems))


def examine(config: Config, test: Sequence[str] = (), teacher_follows: bool = False) -> Examination:
    """Examine the configuration of a training.

    test : further data specs that are scored
    teacher_follows : whether the teacher is still to be trained, so that its weights cannot be there yet
    """
    found = Examination()
    channels = _channels(config, found, teacher_follows)
    labels = config.data.labels
    for spec in config.data.train:
        found.attempt(lambda spec=spec: _data(spec, "train", channels, labels))
    for spec in config.data.validation:
        found.attempt(lambda spec=spec: _data(spec, "val", channels, labels))
    for spec in test:
        found.attempt(lambda spec=spec: _data(spec, "test", ("nucleus",), None))
    found.attempt(lambda: _losses(config))
    return found


def _channels(config: Config, found: Examination, teacher_follows: bool) -> tuple[str, ...]:
    """The channels that the images must have: the student's, and the teacher's where they are known."""
    section = config.teacher
    if not section.name or teacher_follows:
        return config.student.channels
    kind = teachers.load(section.name)
    if reason := kind.check(section):
        found.problems.append(reason)
        named = section.rgb if section.name in CHANNELS_OF else ()
    else:
        named = kind.open(section).channels if section.name not in CHANNELS_OF else section.rgb
        weights = f", weights {Path(section.weights).name}" if section.weights else ""
        found.facts.append(f"teacher {section.name}{weights}")
    taught = [name for name in named if name not in ("blank", "grey")]
    return tuple(dict.fromkeys([*config.student.channels, *taught]))


def _data(spec: str, split: str, channels: Sequence[str], labels: str | None) -> str:
    data = datasets.open(spec, split)
    if not len(data):
        msg = f"{spec} holds no images for {split}."
        raise InputError(msg)
    sample = data[0]
    sample.planes(channels)
    if labels is not None and labels not in sample.labels:
        msg = f"{sample.name} of {spec} has labels {sorted(sample.labels)}, not {labels!r}; set data.labels."
        raise InputError(msg)
    return f"{split}: {spec}, {_words(data)}, channels {', '.join(sample.channels)}, labels {', '.join(sample.labels)}"


def _words(data: Dataset) -> str:
    left_out = sum(data.left_out.values())
    return f"{len(data)} images" + (f" ({left_out} left out)" if left_out else "")


def _losses(config: Config) -> str:
    terms = terms_of(config.loss)
    return f"losses: {', '.join(f'{role} {loss.name}' for role, loss in terms.items())}; {config.loss.weighting}"
