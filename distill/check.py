"""A dry run: does every file, channel, label and weight that a configuration names exist?

Said before hours are spent, and all at once: a list of facts, and a list of problems with the next step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from distill import datasets, teachers
from distill.objective import check_heard, terms_of
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


def examine(config: Config) -> Examination:
    """Examine the configuration of a training."""
    found = examine_data(config)
    found.attempt(lambda: _losses(config))
    return found


def examine_data(config: Config, test: Sequence[str] = (), channels: Sequence[str] = ()) -> Examination:
    """Open every image that a configuration names, and its teacher.

    test : further data specs that are scored
    channels : what a teacher sees that is still to be trained; its weights cannot be there yet
    """
    found = Examination()
    taught_on = channels or _taught_on(config, found)
    wanted, labels = tuple(dict.fromkeys((*config.student.channels, *taught_on))), config.data.labels
    some = 0 if config.teacher.name else 1  # a teacher speaks for images without labels
    for spec in config.data.train:
        found.attempt(lambda spec=spec: _data(spec, "train", wanted, labels, least=some))
    for spec in config.data.validation:
        found.attempt(lambda spec=spec: _data(spec, "val", wanted, labels))
    for spec in test:
        found.attempt(lambda spec=spec: _data(spec, "test", ("nucleus",), labels))
    return found


def _taught_on(config: Config, found: Examination) -> Sequence[str]:
    """The channels that the teacher looks at, where they are known."""
    section = config.teacher
    if not section.name:
        return ()
    kind = teachers.load(section.name)
    if reason := kind.check(section):
        found.problems.append(reason)
        named = section.rgb if section.name in CHANNELS_OF else ()
    else:
        named = section.rgb if section.name in CHANNELS_OF else kind.open(section).channels
        weights = f", weights {Path(section.weights).name}" if section.weights else ""
        found.facts.append(f"teacher {section.name}{weights}")
    return tuple(name for name in named if name not in ("blank", "grey"))


def _data(spec: str, split: str, channels: Sequence[str], labels: str, least: int | None = None) -> str:
    """Open every image of a set.

    labels : what the images must have; test data that have others are scored for those
    least : how many of them must; None for all of them
    """
    data = datasets.open(spec, split)
    if not len(data):
        msg = f"{spec} holds no images for {split}."
        raise InputError(msg)
    others = data[0].labels if split == "test" else {}  # test data are scored for the labels that they have
    wanted, count = labels if labels in others else next(iter(others), labels), 0
    for sample in data:
        sample.planes(channels)
        count += wanted in sample.labels
        if wanted not in sample.labels and least is None:
            there = ", ".join(sorted(sample.labels)) or "none"
            msg = f"{sample.name} of {spec} has labels {there}, not {wanted!r}; set data.labels."
            raise InputError(msg)
    if count < (least or 0):
        msg = f"None of the {len(data)} images of {spec} has labels {wanted!r}; set data.labels, or name a teacher."
        raise InputError(msg)
    return f"{split}: {spec}, {_words(data)}, channels {', '.join(sample.channels)}, labels {wanted} of {count}"


def _words(data: Dataset) -> str:
    left_out = sum(data.left_out.values())
    return f"{len(data)} images" + (f" ({left_out} left out)" if left_out else "")


def _losses(config: Config) -> str:
    terms = terms_of(config.loss)
    check_heard(config.teacher.name, terms)
    return f"losses: {', '.join(f'{role} {loss.name}' for role, loss in terms.items())}; {config.loss.weighting}"
