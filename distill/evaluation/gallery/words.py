"""The findings in words: a sentence an image, a table of the worst, and how common each cause is; all measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill.evaluation.gallery.causes import CAUSES, SMALL_PX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from distill.evaluation.gallery.causes import Findings

MERGED = 0.1  # of the labelled objects; fewer that merged or fell apart are not worth a word
GAIN = 0.005  # of Dice, by which a wider or narrower mask must be better before that is said


def sentence(found: Findings) -> str:
    """Why the image scores what it scores: the cause of most wrong pixels first, then what else was counted."""
    said = [*_pixels(found), *_missed(found), *_width(found), *_objects(found)]
    return "; ".join(said) + "." if said else "Nothing is wrong with it."


def _pixels(found: Findings) -> Iterator[str]:
    if found.cause is None:
        return
    yield f"{_percent(found.share(found.cause))} of the wrong pixels: {CAUSES[found.cause]}"
    rest = sorted((name for name in CAUSES if name != found.cause), key=found.share, reverse=True)
    if found.share(rest[0]) >= 0.2:
        yield f"{_percent(found.share(rest[0]))}: {CAUSES[rest[0]]}"


def _missed(found: Findings) -> Iterator[str]:
    if not found.missed:
        return
    area = found.wrong["dim"] + found.wrong["bright"]
    small = f", {found.missed_small} of them under {SMALL_PX:g} px across" if found.missed_small else ""
    dim = f", {_percent(found.wrong['dim'] / area)} of the area missed in the dimmer half" if area else ""
    yield f"{found.missed} of {found.labelled} nuclei missed{small}{dim}"


def _width(found: Findings) -> Iterator[str]:
    if found.area_ratio is None:
        yield "nothing is labelled in it"
        return
    best = max(("narrower", found.dice_narrower), ("wider", found.dice_wider), key=lambda one: one[1])
    if best[1] >= found.dice + GAIN:
        yield (
            f"the mask has {found.area_ratio:.2f} times the labelled area, and 1 px {best[0]} its Dice "
            f"would be {best[1]:.3f}"
        )


def _objects(found: Findings) -> Iterator[str]:
    counted = {"merged with a neighbour": found.merged, "fallen apart": found.split}
    counted = {what: number for what, number in counted.items() if number > MERGED * found.labelled}
    if counted:
        yield ", ".join(f"{number} {'object' if number == 1 else 'objects'} {what}" for what, number in counted.items())


def to_markdown(title: str, worst: Sequence[Findings], everything: Sequence[Findings], picture: str) -> str:
    """The page of a gallery. worst : those on the picture, the worst first; everything : all images that were scored"""
    lines = [
        f"# {title}",
        "",
        f"![The worst images with the outlines labelled and found]({picture})",
        "",
        "| image | Dice | AP at 0.5 | why |",
        "|---|---:|---:|---|",
        *(f"| {_text(one.name)} | {one.dice:.3f} | {one.ap50:.3f} | {sentence(one)} |" for one in worst),
        "",
        f"## How common each cause is, over all {len(everything)} images",
        "",
        *_summary(everything),
        "",
        *_definitions(),
    ]
    return "\n".join(lines) + "\n"


def _summary(everything: Sequence[Findings]) -> Iterator[str]:
    total = sum(one.wrong_pixels for one in everything)
    yield "| cause | of all wrong pixels | main cause of so many images |"
    yield "|---|---:|---:|"
    for name in sorted(CAUSES, key=lambda cause: -sum(one.wrong[cause] for one in everything)):
        pixels = sum(one.wrong[name] for one in everything)
        share = _percent(pixels / total) if total else "-"
        yield f"| {CAUSES[name]} | {share} | {sum(one.cause == name for one in everything)} |"
    labelled, missed, small, merged, split, invented = (
        sum(getattr(one, key) for one in everything)
        for key in ("labelled", "missed", "missed_small", "merged", "split", "invented")
    )
    yield ""
    yield (
        f"Of {labelled} labelled nuclei {missed} were missed, {small} of them under {SMALL_PX:g} px across; {invented} "
        f"objects were invented, {merged} found ones cover several nuclei, and {split} nuclei fell apart."
    )


def _definitions() -> Iterator[str]:
    yield (
        "A nucleus that the mask does not cover by half was missed, an object that is not half labelled was invented; "
        "all other wrong pixels are at rims. A nucleus is dim if its mean intensity is below the median of the image's "
        "nuclei; an invented object is as bright as they are if it is brighter than a quarter of them. The causes are "
        "measured; what lies behind them, such as an annotator who left an object out, is not."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _text(name: str) -> str:
    """A file's name as text of a table."""
    return name.replace("|", r"\|").replace("`", "'").replace("<", "&lt;")
