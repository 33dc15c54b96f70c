"""TissueNet: tissue in two channels with labels of whole cells and of nuclei, as .npz of v1.0 or v1.1.

Images are (nuclear, membrane); labels are the other way round, (whole cell, nuclear). v1.1 keeps its table in
an object array, which is read only by `meta()` and only through a restricted unpickler. The files are for
non-commercial research and are downloaded by the user. Greenwald et al., Nature Biotechnology 40, 555 (2022).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.datasets.readers.tissuenet.npz import Npz
from distill.datasets.sample import MEMBRANE, NUCLEUS, Dataset, Reader, Sample
from distill.datasets.splits import choose
from runtime.errors import InputError

LICENCE = "TissueNet licence, modified Apache-2.0: non-commercial, academic use"
LAYOUT = "expected X and y of shape (N, H, W, 2), as in tissuenet_v1.0_train.npz or tissuenet_v1.1_train.npz"
SPLIT_IN_NAME = re.compile(r"(?<![a-z])(train|val|test)(?![a-z])")
LABEL_PLANES = {"cells": 0, "nuclei": 1}  # not the order of the image planes


@dataclass(frozen=True, eq=False)
class TissueNet(Dataset):
    """A data set that can also say where its tiles come from."""

    def meta(self) -> Mapping[str, Mapping[str, object]]:
        """Name of a tile -> its row of the files' tables: tissue and platform (v1.0), or v1.1's columns."""
        rows = self.read.meta()  # type: ignore[attr-defined]
        return {name: rows[name] for name in self.names}


@dataclass(frozen=True)
class TissueNetTiles:
    """Reads tiles by name, FILE-INDEX."""

    files: Mapping[str, Npz]

    def __call__(self, name: str) -> Sample:
        stem, _, number = name.rpartition("-")
        index = int(number)
        tile = np.moveaxis(np.asarray(self.files[stem].array("X")[index]), -1, 0)
        image = np.ascontiguousarray(tile, tile.dtype if tile.dtype in (np.uint8, np.uint16) else np.float32)
        tables = self.files[stem].array("y")[index]
        labels = {kind: _numbered(tables[..., plane], name) for kind, plane in LABEL_PLANES.items()}
        if labels["cells"].any() and not labels["nuclei"].any():
            del labels["nuclei"]  # a field whose nuclei nobody annotated; not a field without nuclei
        return Sample(name, image, (NUCLEUS, MEMBRANE), labels)

    def meta(self) -> dict[str, dict[str, object]]:
        """Rows of all files."""
        return {name: row for stem, file in self.files.items() for name, row in _rows(stem, file).items()}


def open_tissuenet(argument: str, split: str) -> Dataset:
    """A file is split by seed; in a folder, files that say train, val or test in their names decide."""
    path = Path(argument).expanduser()
    files = {file.stem: Npz(file) for file in _files(path)}
    sizes = {stem: _check(file) for stem, file in files.items()}
    stems, by_seed = _stems(files, split) if path.is_dir() else (list(files), True)
    strata = {_name(stem, index): sizes[stem][1:3] for stem in stems for index in range(sizes[stem][0])}
    names = choose(strata, split if by_seed else "all")
    how = "split by seed" if by_seed else "split as the files are"
    description = f"TissueNet, {len(names)} tiles of {', '.join(sorted(stems))} ({how}); cells and nuclei"
    return TissueNet(names, TissueNetTiles(files), LICENCE, description)


def _files(path: Path) -> list[Path]:
    if not path.exists():
        msg = f"TissueNet path {str(path)!r} does not exist; give an .npz or a folder of them."
        raise InputError(msg)
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        msg = f"{str(path)!r} holds no .npz; give the folder with tissuenet_v1.*_*.npz."
        raise InputError(msg)
    return files


def _check(file: Npz) -> tuple[int, ...]:
    """The shape of X; InputError where the file is not of TissueNet's layout."""
    if missing := {"X", "y"} - set(file.keys):
        lacks, has = " and ".join(sorted(missing)), ", ".join(file.keys)
        msg = f"{str(file.path)!r} has no {lacks}, only {has}; {LAYOUT}."
        raise InputError(msg)
    images, labels = file.shape("X"), file.shape("y")
    if len(images) != 4 or images[-1] != 2 or labels != images:
        msg = f"{str(file.path)!r} has X of shape {images} and y of shape {labels}; {LAYOUT}."
        raise InputError(msg)
    return images


def _stems(files: Mapping[str, Npz], split: str) -> tuple[list[str], bool]:
    """The files of a split, and whether they are still to be split by seed."""
    named: dict[str, list[str]] = {}
    for stem in files:
        for word in SPLIT_IN_NAME.findall(stem.lower())[-1:]:
            named.setdefault(word, []).append(stem)
    if split == "all" or not named:
        return list(files), True
    if split == "train" and "val" not in named and "train" in named:
        return named["train"], True
    if split == "val" and "val" not in named and "train" in named:
        return named["train"], True
    if split not in named:
        has = " and ".join(sorted(named))
        msg = f"The TissueNet folder has {has} files and none for {split!r}; add that file."
        raise InputError(msg)
    return named[split], False


def _rows(stem: str, file: Npz) -> dict[str, dict[str, object]]:
    count = file.shape("X")[0]
    if "meta" not in file.keys:
        lists = {key.removesuffix("_list"): file.array(key) for key in file.keys if key.endswith("_list")}
        if short := [key for key, values in lists.items() if len(np.atleast_1d(values)) < count]:
            msg = f"'{short[0]}_list' in {str(file.path)!r} has no entry for each of {count} tiles; download it again."
            raise InputError(msg)
        return {_name(stem, i): {key: str(values[i]) for key, values in lists.items()} for i in range(count)}
    table = file.objects("meta")
    headers = len(table) - count  # one row, in some files four
    if table.ndim != 2 or headers < 0:
        msg = f"'meta' in {str(file.path)!r} has shape {table.shape} for {count} tiles; expected a row for each."
        raise InputError(msg)
    columns = _columns(table[0] if headers else range(table.shape[1]))
    return {_name(stem, i): dict(zip(columns, row, strict=True)) for i, row in enumerate(table[headers:].tolist())}


def _columns(header: Sequence[object]) -> list[str]:
    """Column names that are unique: a repeated or empty one gets its position."""
    names = [str(name) for name in header]
    unique = [name and names.count(name) == 1 for name in names]
    return [
        name if alone else f"{name or 'column'}_{place}"
        for place, (name, alone) in enumerate(zip(names, unique, strict=True))
    ]


def _numbered(table: NDArray, name: str) -> NDArray[np.int32]:
    """Instances numbered from 1 in the order of their ids."""
    ids, place = np.unique(table, return_inverse=True)
    if ids.size and ids[0] < 0:
        msg = f"Tile {name!r} has a negative label, {ids[0]}; labels are 0 for background and 1 and up."
        raise InputError(msg)
    shift = 0 if ids.size and ids[0] == 0 else 1
    return (place.reshape(table.shape) + shift).astype(np.int32)


def _name(stem: str, index: int) -> str:
    return f"{stem}-{index:05d}"


READER = Reader("tissuenet", LICENCE, "TissueNet, DeepCell data sets; whole cells and nuclei", open_tissuenet)
