"""The commands that write, as the bench calls them: on tiny images, with tiny students, and what a whole run leaves."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from runtime.errors import InputError
from tools.adversarial.bench import Leftover, Setup, Wrong
from tools.adversarial.forks import Runner
from tools.adversarial.kinds import serving

CONFIG = """
seed = 1
[data]
train = ["synthetic:6@1?size=96"]
validation = ["synthetic:8@2?size=96"]
crop = 64
[teacher]
name = "masks"
weights = "labels:cells"
store = "{store}"
options = {{ soften = 1.0 }}
"""
FIT = """
seed = 3
[student]
name = "tiny"
decoder = [8, 8, 8, 8, 8]
squeeze_excite = false
[data]
train = ["synthetic:6@1?size=64"]
validation = ["synthetic:6@2?size=64"]
crop = 64
[float]
steps = 4
batch = 2
precision = "32-true"
[qat]
steps = 4
batch = 2
[trainer]
interval = 2
validate = 3
threads = 1
"""
STUDENT = "nuclei-fast"
SCORED = "synthetic:2@5?size=64"


class Command(NamedTuple):
    """A command that writes. imports : what its process has before it is forked; arguments : for a folder

    result : what it makes in the folder; at_once : that is one folder, all of it or nothing
    again : its exit code where the result is there already; before : called in its process before it begins
    logs : a pattern of what belongs to each run alone, and may stay
    """

    package: str
    imports: tuple[str, ...]
    arguments: Callable[[Path, Setup], list[str]]
    result: str = "out"
    at_once: bool = False
    again: int = 0
    before: Callable[[], None] | None = None
    logs: str = "(?!)"


def artifact_for_onnxruntime(setup: Setup) -> str:
    """The one that onnxruntime runs, which begins quickest."""
    for path in setup.artifacts:
        if "onnx" in json.loads((path / "manifest.json").read_text())["payload"]:
            return str(path)
    msg = "No artefact holds an ONNX model; compile one for jetson."
    raise InputError(msg)


def _frame(number: int) -> np.ndarray:
    frame = np.random.default_rng(number).normal(300, 40, (90, 110))
    frame[np.hypot(*np.mgrid[-45:45, -55:55]) < 14 + 4 * number] += 2000
    return frame.astype(np.uint16)


def _images(folder: Path) -> list[str]:
    import tifffile

    paths: list[str] = []
    (folder / "in").mkdir(exist_ok=True)
    for number in range(2):
        path = folder / "in" / f"cells{number}.tif"
        if not path.exists():
            tifffile.imwrite(path, _frame(number))
        paths.append(str(path))
    return paths


def _world(folder: Path) -> str:
    """An OME-Zarr with two levels, two channels and two times, and pixel sizes."""
    import zarr

    store = folder / "in.ome.zarr"
    if not store.exists():
        group = zarr.open_group(str(store), mode="w", zarr_format=3)
        frames = np.stack([np.stack([_frame(2 * time + channel) for channel in range(2)]) for time in range(2)])
        for level, data in enumerate((frames, frames[..., ::2, ::2])):
            group.create_array(str(level), data=data, chunks=(1, 1, 64, 64))
        axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
        axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
        datasets = [
            {"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, um, um]}]}
            for level, um in enumerate((0.5, 1.0))
        ]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return str(store)


def _predict(folder: Path, setup: Setup) -> list[str]:
    options = ["--labels", "--objects", "csv", "--out", str(folder / "out"), "--threads", "1"]
    return ["predict", artifact_for_onnxruntime(setup), *_images(folder), *options]


BLOCKS = ("--labels", "--block", "64", "--margin", "16", "--scheduler", "synchronous", "--threads", "1")


def _segment(folder: Path, setup: Setup) -> list[str]:
    return ["segment", _images(folder)[0], str(folder / "out"), "--artifact", artifact_for_onnxruntime(setup), *BLOCKS]


def _segment_zarr(folder: Path, setup: Setup) -> list[str]:
    options = ["--artifact", artifact_for_onnxruntime(setup), "--channel", "1", *BLOCKS]
    return ["segment", _world(folder), str(folder / "out"), *options]


def _serve(folder: Path, setup: Setup) -> list[str]:
    _images(folder)
    return ["serve", artifact_for_onnxruntime(setup), "--folder", str(folder / "in"), "--threads", "1"]


def _verify(folder: Path, setup: Setup) -> list[str]:
    return ["verify", artifact_for_onnxruntime(setup), "--json", str(folder / "out" / "verify.json")]


def _label(folder: Path, _setup: Setup) -> list[str]:
    (folder / "config.toml").write_text(CONFIG.format(store=folder / "out"))
    return ["label", str(folder / "config.toml")]


def _fit(folder: Path, _setup: Setup) -> list[str]:
    (folder / "config.toml").write_text(FIT)
    return ["fit", str(folder / "config.toml"), "--out", str(folder / "out")]


def _evaluate(folder: Path, _setup: Setup) -> list[str]:
    return ["evaluate", STUDENT, "--data", SCORED, "--json", str(folder / "out" / "scores.json")]


def _gallery(folder: Path, _setup: Setup) -> list[str]:
    return ["gallery", STUDENT, "--data", SCORED, "--split", "all", "--out", str(folder / "out")]


def _tune(folder: Path, _setup: Setup) -> list[str]:
    return ["tune", STUDENT, "--data", SCORED, "--out", str(folder / "out")]


def _compile(folder: Path, _setup: Setup) -> list[str]:
    options = ["--target", "jetson", "--precision", "fp32", "--tile", "64", "--student", STUDENT]
    return [*options, "--out", str(folder / "out")]


def _run(folder: Path, setup: Setup) -> list[str]:
    options = ["--data", SCORED, "--rounds", "1", "--repeats", "2", "--threads", "1"]
    places = ["--out", str(folder / "out" / "report.json"), "--pictures", str(folder / "out" / "pictures")]
    return ["run", "--artifact", artifact_for_onnxruntime(setup), *options, *places]


RUNTIME = ("onnxruntime", "tifffile", "runtime.bulk", "dask.array", "zarr")
SCORING = ("distill.evaluation.evaluate", "distill.student.student", "skimage", "scipy.optimize")
COMMANDS = {
    "predict": Command("runtime", RUNTIME, _predict),
    "segment": Command("runtime", RUNTIME, _segment, at_once=True),
    "segment-zarr": Command("runtime", RUNTIME, _segment_zarr, at_once=True),
    "serve": Command("runtime", RUNTIME, _serve, "in", before=serving.replace_client),
    "label": Command("distill", ("distill.teaching.label", "distill.teachers.masks", "zarr", "skimage"), _label),
    "fit": Command(
        "distill", ("distill.training.train", "distill.training.phases", "torch"), _fit, at_once=True, again=2,
        logs=r"out\.training/(logs|tensorboard)(/.*)?",
    ),
    "compile": Command("compile", ("compile.build", "compile.trial", "compile.export", "onnxruntime"), _compile),
    "verify": Command("runtime", RUNTIME, _verify),
    "evaluate": Command("distill", SCORING, _evaluate),
    "gallery": Command("distill", (*SCORING, "distill.evaluation.gallery.flow"), _gallery),
    "tune": Command("distill", (*SCORING, "distill.adapt.tune"), _tune, at_once=True, again=2),
    "run": Command("benchmarks", ("benchmarks.commands.app", "benchmarks.campaign.campaign"), _run),
}  # fmt: skip
TEXTS = (".csv", ".onnx", ".npz", ".safetensors", ".toml")


class Whole(NamedTuple):
    """What an undisturbed run leaves, how often it changes its folder, and how long it takes."""

    names: set[str]
    contents: dict[str, Any]
    events: int
    seconds: float


class Bench:
    """One command in the bench: its forks, an undisturbed run, and what must be so after a disturbed one."""

    def __init__(self, name: str, setup: Setup) -> None:
        self.command = COMMANDS[name]
        self.result = self.command.result
        self.runner = Runner(
            self.command.package, self.command.imports, lambda folder: self.command.arguments(folder, setup),
            self.command.before,
        )  # fmt: skip
        folders = [setup.own / "work", setup.own / "again"]  # the second one is as quick as those that follow
        for folder in folders:
            folder.mkdir()
            ended = self.runner.finish(folder)
        self.whole = Whole(self._names(folder), contents(folder / self.result), ended.events, ended.seconds)

    def check_part(self, work: Path, *, complete: bool) -> None:
        """Every file of the result that has its name is whole; complete : and none is missing."""
        found = contents(work / self.result)
        for name, value in found.items():
            if name not in self.whole.contents:
                msg = f"{self.result}/{name} does not belong there"
                raise Leftover(msg)
            if value != self.whole.contents[name]:
                msg = f"{self.result}/{name} is not what an undisturbed run writes"
                raise Wrong(msg)
        if complete and (missing := sorted(self.whole.contents.keys() - found.keys())):
            msg = f"{self.result} lacks {', '.join(missing[:4])}"
            raise Wrong(msg)

    def check_end(self, work: Path, more: Sequence[str] = ()) -> None:
        """The result is whole, and nothing else is there."""
        self.check_part(work, complete=True)
        if extra := sorted(self._names(work) - self.whole.names - set(more)):
            msg = f"after the next run: {', '.join(extra[:5])}"
            raise Leftover(msg)

    def _names(self, folder: Path) -> set[str]:
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
        return {name for name in names if not re.fullmatch(self.command.logs, name)}


def contents(path: Path) -> dict[str, Any]:
    """What the finished results hold, without what is of the moment: times, paths, versions."""
    found: dict[str, Any] = {}
    for file in sorted(path.rglob("*")) if path.is_dir() else []:
        name = file.relative_to(path).as_posix()
        if any(part.startswith(".") for part in Path(name).parts) or not file.is_file():
            continue
        if file.suffix in (".tif", ".tiff"):
            import tifffile

            array = tifffile.imread(file)
            found[name] = (array.shape, array.dtype, array.tobytes())
        elif file.suffix == ".json":
            json.loads(file.read_text("utf-8"))  # whole, or it would be none
            found[name] = ""
        elif file.suffix in TEXTS or name[-1].isdigit():
            found[name] = "" if name.endswith("training.csv") else file.read_bytes()
        else:
            found[name] = ""
    return found
