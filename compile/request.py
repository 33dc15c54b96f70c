"""What is to be compiled, checked before torch is imported and before any work is done."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compile import targets
from compile.accuracy.budget import MAX_DROP
from compile.target import Option
from runtime.errors import EdgescopeError, InputError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from compile.target import Options, Target

log = logging.getLogger(__name__)

PRECISIONS = ("int8", "fp16", "fp32")
AUTO = "auto"
ALL = "all"
LAYOUT = "layout"
LAYOUT_HELP = "beside the artefact, a folder that another program loads: {}"


@dataclass(frozen=True)
class Request:
    """What to build.

    precision : one of PRECISIONS, or "auto"; tile : (h, w), None for the student's own
    max_drop : Dice points below the fp32 student, or None for no budget
    options : a target's name to the options that it gets, as `Target.check` gave them
    sign : see runtime.artifact.artifact.write_artifact
    """

    targets: tuple[str, ...]
    precision: str
    tile: tuple[int, int] | None = None
    validate: str | None = None
    max_drop: float | None = MAX_DROP
    options: Mapping[str, Options] = field(default_factory=dict)
    sign: Callable[[bytes], bytes] | None = None


def checked(
    target: str | Sequence[str],
    precision: str = "int8",
    max_drop: float | None = MAX_DROP,
    options: Mapping[str, Sequence[str]] | None = None,
    **others: Any,
) -> Request:
    """The request; InputError for a target, precision, budget or option that there is not.

    target : a name, several, or "all"; options : option name to the values given, such as {"npu": ["ethos-u55"]}
    others : further fields of Request
    """
    names = _names(target)
    if precision not in (*PRECISIONS, AUTO):
        msg = f"Unknown precision {precision!r}; choose one of {', '.join((*PRECISIONS, AUTO))}."
        raise InputError(msg)
    if max_drop is not None and not math.isfinite(max_drop):
        msg = f"--max-drop is {max_drop}; give Dice points, for example --max-drop 0.5."
        raise InputError(msg)
    given = {name: tuple(values) for name, values in (options or {}).items() if values}
    return Request(names, precision, max_drop=max_drop, options=_by_target(given, names, precision), **others)


def tile_of(text: str) -> tuple[int, int]:
    """N or HxW in pixels as (h, w)."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if not match:
        msg = f"Tile {text!r} is not a size in pixels; write for example --tile 256 or --tile 512x768."
        raise InputError(msg)
    return int(match[1]), int(match[2] or match[1])


def every_option() -> dict[str, dict[str, Option]]:
    """The options of all targets: option name to target name to what that target says about it."""
    every: dict[str, dict[str, Option]] = {}
    for name in targets.names():
        try:
            target = targets.load(name)
        except EdgescopeError as error:  # of another distribution: it is told when that target is asked for
            log.warning("%s", error)
            continue
        for option in _options(target):
            every.setdefault(option.name, {})[name] = option
    return every


def _options(target: Target) -> Iterable[Option]:
    yield from target.options
    if target.served:
        yield Option(LAYOUT, LAYOUT_HELP.format(" or ".join(target.served)), tuple(target.served))


def _names(target: str | Sequence[str]) -> tuple[str, ...]:
    names = (target,) if isinstance(target, str) else tuple(target)
    known = targets.names()
    if ALL in names:
        return known
    for name in names:
        if name not in known:
            msg = f"There is no target {name!r}; choose one of {', '.join((*known, ALL))}.{did_you_mean(name, known)}"
            raise InputError(msg)
    return names


def _by_target(given: Options, names: tuple[str, ...], precision: str) -> dict[str, Options]:
    """Each option with the targets that take it. InputError for a value that none of the chosen targets takes."""
    every = every_option() if given else {}
    for option, values in given.items():
        if option not in every:
            msg = f"There is no option --{option}; choose one of {', '.join(f'--{name}' for name in every)}."
            raise InputError(msg)
        for value in values:
            _check_taken(option, value, every[option], names)
    checked: dict[str, Options] = {}
    for name in names:
        target = targets.load(name)
        own = {option.name: _taken(option, given[option.name]) for option in _options(target) if option.name in given}
        checked[name] = target.check({option: values for option, values in own.items() if values}, precision)
    return checked


def _taken(option: Option, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for value in values if not option.choices or value in option.choices)


def _check_taken(option: str, value: str, offered: Mapping[str, Option], names: tuple[str, ...]) -> None:
    takers = [name for name, one in offered.items() if _taken(one, (value,))]
    if not takers:
        choices = dict.fromkeys(choice for one in offered.values() for choice in one.choices)
        msg = f"--{option} is {value!r}; choose one of {', '.join(choices)}."
        raise InputError(msg)
    if not set(takers) & set(names):
        msg = (
            f"--{option} {value} is for --target {' or '.join(takers)}, not for {', '.join(names)}; "
            f"use --target {takers[0]} or {ALL}."
        )
        raise InputError(msg)
