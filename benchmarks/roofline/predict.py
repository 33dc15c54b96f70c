"""What an artefact's network will take on a device that it was not run on, from the costs of layers measured there.

A layer costs its multiply-adds, or its output's elements where it has none, times what such layers took per unit on
the device, all layers of its kind together, as nn-Meter (Zhang et al., MobiSys 2021) does with kernels. Two checks
leave out what is known and predict it: one artefact of a device, predicted from its other ones; and a whole device,
predicted from all others. Their errors are the error bars; a prediction without them would be a guess.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from statistics import median

from benchmarks.roofline.layers import LayerCosts, LayeredArtifact
from runtime.profiles import LayerTime
from runtime.records import Record

ARTEFACT, DEVICE = "artefact left out", "device left out"


@dataclass(frozen=True)
class Prediction(Record):
    """Milliseconds of a network on a machine.

    measured_ms : None where nobody measured it
    basis : ARTEFACT, predicted from others on the same machine; DEVICE, from other machines
    error : relative to what was measured, e.g. 0.1 for a tenth too long; None where nothing was
    low_ms, high_ms : by the worst error of all checks of this basis; None where there was none
    """

    machine: str
    artifact: str
    ms: float
    measured_ms: float | None
    basis: str
    error: float | None
    low_ms: float | None
    high_ms: float | None


def predict(files: Sequence[LayerCosts]) -> list[Prediction]:
    """Every artefact on every machine: twice where it was measured, which is the check, else once."""
    known = {one.name: one for costs in files for one in costs.artifacts}
    checks = [check for costs in files for one in costs.artifacts for check in _checks(files, costs, one)]
    unknown = [
        Prediction(costs.machine, name, ms, None, ARTEFACT, None, None, None)
        for costs in files
        for name, one in known.items()
        if name not in {own.name for own in costs.artifacts}
        if (ms := _of(one, [costs])) is not None
    ]
    worst = {
        basis: max((abs(log(1 + c.error)) for c in checks if c.basis == basis and c.error is not None), default=None)
        for basis in (ARTEFACT, DEVICE)
    }
    return [_with_bar(one, worst[one.basis]) for one in (*unknown, *checks)]


def _checks(files: Sequence[LayerCosts], costs: LayerCosts, one: LayeredArtifact) -> Iterator[Prediction]:
    others = tuple(own for own in costs.artifacts if own.name != one.name)
    without = LayerCosts(**{**vars(costs), "artifacts": others})
    elsewhere = [other for other in files if other.machine != costs.machine]
    for basis, sources in ((ARTEFACT, [without] if others else []), (DEVICE, elsewhere)):
        if (ms := _of(one, sources)) is not None:
            yield Prediction(costs.machine, one.name, ms, one.ms, basis, ms / one.ms - 1, None, None)


def _with_bar(one: Prediction, worst: float | None) -> Prediction:
    if worst is None:
        return one
    return Prediction(**{**vars(one), "low_ms": one.ms / exp(worst), "high_ms": one.ms * exp(worst)})


def _of(one: LayeredArtifact, sources: Sequence[LayerCosts]) -> float | None:
    """The geometric mean over the machines; None where none of them has layers."""
    each = [ms for costs in sources if (ms := _on(one, costs)) is not None]
    return exp(sum(map(log, each)) / len(each)) if each else None


def _on(one: LayeredArtifact, costs: LayerCosts) -> float | None:
    layers = [layer for own in costs.artifacts for layer in own.layers]
    whole, parts = sum(own.ms for own in costs.artifacts), sum(layer.ms for layer in layers)
    if not layers or not parts or not one.layers:
        return None
    rates = _rates(layers)
    general = {
        products: _rate([layer for layer in layers if (layer.multiply_adds > 0) == products])
        for products in (True, False)
    }
    total = sum(
        _work(layer) * (rates.get(_kind(layer)) or general[layer.multiply_adds > 0] or 0.0) for layer in one.layers
    )
    return total * whole / parts if total > 0 else None


def _rates(layers: Sequence[LayerTime]) -> dict[tuple[str, str], float]:
    kinds = dict.fromkeys(map(_kind, layers))
    return {kind: rate for kind in kinds if (rate := _rate([layer for layer in layers if _kind(layer) == kind]))}


def _rate(layers: Sequence[LayerTime]) -> float | None:
    """Milliseconds for a unit of work, all layers together: a large one tells more than a small one."""
    work = sum(map(_work, layers))
    return sum(layer.ms for layer in layers) / work if work else None


def _work(layer: LayerTime) -> float:
    return float(layer.multiply_adds or layer.elements)


def _kind(layer: LayerTime) -> tuple[str, str]:
    return layer.kind, layer.runs_in


def summary(predictions: Sequence[Prediction]) -> Iterator[str]:
    """How far the checks were off, by what was left out."""
    for basis in (ARTEFACT, DEVICE):
        errors = [abs(one.error) for one in predictions if one.basis == basis and one.error is not None]
        if errors:
            yield f"{basis}: {len(errors)} checks, off by {median(errors):.0%} (median), {max(errors):.0%} (worst)"
        else:
            yield f"{basis}: no check; give files of more artefacts or machines, or take no prediction for a figure"
