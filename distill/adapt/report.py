"""What came out, for people: lines for the terminal, report.md, and a picture of before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distill.adapt import plan as plans
from distill.adapt.flow import ARTEFACTS, CONFIG, HISTORY, STUDENT
from distill.adapt.measure import BEGIN, CANDIDATES, TRAINED, TUNED, read_drawing
from distill.adapt.words import survey_lines
from distill.evaluation.figures import new_figure, png
from distill.student.description import describe
from runtime import metrics
from runtime.frames.normalize import normalize
from runtime.system import extras
from runtime.system.atomic import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from distill.adapt.flow import Adapted, Settings

PICTURE = "before-after.png"
SHOWN = 4  # images in the picture
PART = 320  # pixels a side of what is shown of an image, in objects of some 20 px
TRUTH, FOUND = (86, 180, 233), (230, 159, 0)  # Okabe and Ito's, told apart with any colour vision
DONE = {
    BEGIN: "Nothing was better than the student as it was: it is kept, under the new name.",
    TUNED: "Fine-tuned weights were not better: the weights are kept, and the thresholds are new.",
    TRAINED: "The fine-tuned student is the best one.",
}


def score_table(result: Adapted) -> list[tuple[str, ...]]:
    """Head and rows: each candidate on images that it was not trained on, and its gain with the paired interval."""
    shown = [metrics.load(name) for name in metrics.HEADLINES]
    rows = [("student", *(cell for metric in shown for cell in (metric.title, "gain (95 %)")))]
    for candidate in CANDIDATES:
        cells: list[str] = []
        for metric in shown:
            gain = "" if candidate == BEGIN else _gain(result, candidate, metric.name)
            cells += [f"{result.scores.mean(candidate, metric.name):.3f}", gain]
        rows.append((candidate, *cells))
    return rows


def _gain(result: Adapted, candidate: str, metric: str) -> str:
    mean, interval = result.scores.gain(candidate, metric)
    within = "no interval" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"
    return f"{mean:+.3f} ({within})"


def outcome_lines(result: Adapted) -> list[str]:
    """How it was scored, what is kept, and what to be careful with."""
    scored = len(result.scores.names)
    lines = [f"scored by {result.validation} (int8, the size of objects as it is seen in each image)"]
    if result.survey.reference != "labels":
        lines.append(f"truth: {result.survey.reference}")
    if scored < plans.FEW:
        lines.append(f"warning: {scored} images were scored, fewer than {plans.FEW}: the gain is uncertain")
    return [*lines, DONE[result.best]]


def write(result: Adapted, settings: Settings, artefacts: Sequence[Path]) -> None:
    """report.md and the picture, into the result's folder."""
    picture = _write_picture(result, settings)
    table = score_table(result)
    lines = [
        f"# {result.name}",
        "",
        *(f"- {line}" for line in survey_lines(result.survey)),
        f"- begins with {settings.student}; {result.validation.trainings} training(s) of {result.steps} steps in "
        f"float, of {plans.BATCH} crops each; seed {settings.seed}",
        "",
        "## Is it better?",
        "",
        *_markdown(table),
        "",
        *(f"- {line}" for line in outcome_lines(result)),
        "- Dice: mean over the images. AP 0.5: TP / (TP + FP + FN) of the objects, mean over the images. Interval: "
        "paired bootstrap over the images. Images that follow each other in a film, or overlap, make it too narrow.",
        "",
        *_per_image(result),
        *([f"![labels, the student as it was, and the new one]({PICTURE})", ""] if picture else []),
        *_rounds(result.folder / HISTORY),
        "## What is here",
        "",
        f"- `{STUDENT}/`: the student, with its card",
        *(f"- `{ARTEFACTS}/{path.name}`" for path in artefacts),
        f"- `{CONFIG}`: every setting of the training, for `python -m distill fit`",
        "",
    ]
    write_bytes(result.folder / "report.md", "\n".join(lines).encode())


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]


def _per_image(result: Adapted) -> list[str]:
    """One row per image, the worst of the new student first."""
    head = ["image", *(f"{metrics.load(m).title} {when}" for m in metrics.HEADLINES for when in ("before", "after"))]
    columns = [result.scores.values(one, m) for m in metrics.HEADLINES for one in (BEGIN, result.best)]
    order = np.argsort(columns[-1], kind="stable")
    rows = [[result.scores.names[i], *(f"{column[i]:.3f}" for column in columns)] for i in order]
    return [*_markdown([head, *rows]), ""]


def _rounds(path: Path) -> list[str]:
    import json

    history = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if len(history) < 2:
        return []
    titles = [metrics.load(name).title for name in metrics.HEADLINES]
    rows = [["round", "labelled", "with masks", "kept", *titles]]
    for number, row in enumerate(history, 1):
        values = [f"{row[name]:.3f}" for name in metrics.HEADLINES]
        rows.append([str(number), str(row["labelled"]), str(row["taught"]), row["best"], *values])
    return ["## Rounds", "", *_markdown(rows), ""]


def _write_picture(result: Adapted, settings: Settings) -> bool:
    """The images that gained and lost most, before and after; False without matplotlib."""
    if not extras.available("matplotlib"):
        return False
    metric = metrics.HEADLINES[1]
    gains = result.scores.values(result.best, metric) - result.scores.values(BEGIN, metric)
    order = np.argsort(np.nan_to_num(gains), kind="stable")
    chosen = [int(order[place]) for place in np.unique(np.linspace(0, len(order) - 1, SHOWN).round().astype(int))]
    folder = result.drawings
    spec = describe(settings.student).spec
    rows: list[tuple[str, list[NDArray[np.uint8]]]] = []
    for number in chosen[::-1]:
        name = result.scores.names[number]
        drawn = read_drawing(folder / f"{name}.npz")
        frame = normalize(result.survey.read(name)[0], spec.normalization)
        part = _part(drawn, result.best)
        pictures = [_overlay(frame[part], drawn["truth"][part], drawn[one][part]) for one in (BEGIN, result.best)]
        before, after = (result.scores.values(one, metric)[number] for one in (BEGIN, result.best))
        rows.append((f"{name}: AP 0.5 {before:.2f} before, {after:.2f} after", pictures))
    write_bytes(result.folder / PICTURE, _sheet(rows))
    return True


def _part(drawn: dict[str, Any], best: str) -> tuple[slice, slice]:
    """Where in an image before and after differ most, some ten objects wide."""
    from distill.evaluation.gallery.figure import worst_part
    from runtime.frames.scale import median_diameter_of

    size = median_diameter_of(drawn["truth"]) or 20.0
    return worst_part((drawn[BEGIN] > 0) != (drawn[best] > 0), round(PART * max(1.0, size / 20)))


def _overlay(frame: NDArray[np.float32], truth: NDArray[Any], found: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey values with the outlines that were labelled and drawn, uint8 (H, W, 3)."""
    from skimage.segmentation import find_boundaries

    picture = np.repeat((255 * frame).astype(np.uint8)[..., None], 3, axis=2)
    picture[find_boundaries(truth, mode="inner")] = TRUTH
    picture[find_boundaries(found, mode="inner")] = FOUND
    return picture


def _sheet(rows: Sequence[tuple[str, list[NDArray[np.uint8]]]]) -> bytes:
    figure = new_figure(8.0, 3.9 * len(rows) + 0.4, dpi=100)
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for axes, (title, pictures) in zip(grid, rows, strict=True):
        for one, picture in zip(axes, pictures, strict=True):
            one.set_axis_off()
            one.imshow(picture, interpolation="nearest")
        axes[0].set_title(title, fontsize=9, loc="left", parse_math=False)
    figure.suptitle("Before (left) and after (right). Blue: labelled; orange: found", fontsize=9, x=0.01, ha="left")
    return png(figure)
