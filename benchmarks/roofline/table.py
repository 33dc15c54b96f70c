"""A roofline in words: tables of artefacts, roofs and layers, and how they were measured."""

from collections.abc import Sequence

from benchmarks.report.names import short_name
from benchmarks.report.table import markdown_table
from benchmarks.roofline.roofline import PRECISIONS, BareLayer, MacRate, NetworkShare, Roof, Roofline

NETWORK_HEAD = ("artefact", "tile", "GMAC", "ms", "GMAC/s", "of the roof", "convolutions in INT8")
ROOF_HEAD = ("roof", "GMAC/s", "reached by")
LAYER_HEAD = ("convolution", "built in", "ran in", "kernel", "GMAC", "ms", "GMAC/s")
FIGURES = frozenset({"GMAC", "ms", "GMAC/s", "of the roof"})


def to_markdown(roofline: Roofline) -> str:
    """Three tables: the artefacts, the roofs they are measured by, and every layer; below them how it was measured."""
    parts = [_table(ROOF_HEAD, [_roof_line(roof) for roof in roofline.roofs])]
    if roofline.networks:
        parts.insert(0, _table(NETWORK_HEAD, [_network_line(network) for network in roofline.networks]))
    parts.append(_table(LAYER_HEAD, [_layer_line(layer) for layer in roofline.layers]))
    parts.append("\n".join(f"- {note}" for note in notes(roofline)))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown_table(head, lines, [title in FIGURES for title in head]))


def _network_line(network: NetworkShare) -> tuple[str, ...]:
    share = "-" if network.share is None else f"{100 * network.share:.0f} % ({network.roof})"
    tile = f"{network.tile[0]}x{network.tile[1]}"
    return network.name, tile, *_figures(network.rate), share, f"{network.int8_convolutions}/{network.convolutions}"


def _roof_line(roof: Roof) -> tuple[str, ...]:
    return roof.precision, f"{roof.gmac_per_s:.0f}", roof.layer


def _layer_line(layer: BareLayer) -> tuple[str, ...]:
    return layer.name, layer.precision, layer.runs_in, layer.kernel, *_figures(layer.rate)


def _figures(rate: MacRate) -> tuple[str, str, str]:
    return f"{rate.gmac:.3g}", f"{rate.ms:.3g}", f"{rate.gmac_per_s:.0f}"


def notes(roofline: Roofline) -> list[str]:
    """The measurement, missing values, and warnings."""
    device = roofline.device
    settings = ", ".join(f"{name} {value}" for name, value in roofline.settings.items())
    missing = set(PRECISIONS) - {roof.precision for roof in roofline.roofs}
    return [
        "GMAC: 10^9 multiply-adds of convolutions and matrix products, counted in the model; a roof is the quickest of "
        "the single convolutions, without what comes before and after it; artefacts are timed as a whole, without "
        "copies.",
        f"{short_name(device.cpu)}, {device.usable_cores} cores, {roofline.threads} "
        f"thread{'s' * (roofline.threads != 1)}, {device.os}, {roofline.library} ({settings}).",
        f"Medians of {roofline.rounds} rounds of {roofline.repeats} runs, layers and artefacts in turns; shares are "
        "paired by round.",
        *(
            f"There is no roof of {precision}: {roofline.backend} ran no layer in it on this processor."
            for precision in PRECISIONS
            if precision in missing
        ),
        *(f"Warning: {reason}" for reason in (*device.warnings, *roofline.noise.reasons)),
    ]
