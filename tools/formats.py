"""`python -m tools.formats DIR [--out docs/formats.md]`: what we report of real files, beside what is right.

DIR holds the files that EXPECTED names; the project's developers have them as data/reader_files, with a SOURCE.md from
which EXPECTED is taken over. A row that differs is printed with what differs, and the exit code is 1.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from runtime.commands import command_line
from runtime.errors import EdgescopeError
from runtime.images.files import open_image
from runtime.images.planes import PlaneChoice, stack_of
from runtime.images.scene import Scene
from runtime.system import extras

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
MODULES = {".nd2": ("nd2", "readers"), ".czi": ("czifile", "readers"), ".zarr": ("zarr", "readers")}
ND2 = ("Mono", "DAPI", "FITC BP", "TRITC BP")


class FormatView(NamedTuple):
    """One scene: axes and sizes, type, least and greatest value, steps in um and s, channels, what is said besides.

    channel : which one is taken without being asked for: its number and name, "" where there is only one, "?" where
        somebody has to choose
    """

    axes: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    pixel: tuple[float, float] | None = None
    z_um: float | None = None
    t_s: float | None = None
    channels: tuple[str, ...] = ()
    channel: str = ""
    note: str = ""


def _expect(
    axes: str,
    shape: tuple[int, ...],
    dtype: str,
    low: float,
    high: float,
    um: float | None = None,
    z_um: float | None = None,
    *more: float | None,
    channels: tuple[str, ...] = (),
    channel: str = "",
    note: str = "",
) -> tuple[FormatView, ...]:
    pixel = (um, um) if um else None
    return (FormatView(axes, shape, dtype, low, high, pixel, z_um, next(iter(more), None), channels, channel, note),)


_CZI = ("ZYX", (2, 251, 251), "uint16")
# The axes are in the order of the file: SOURCE.md writes CYX 3x512x672 for the three channels of hela-cells, which are
# stored as colours. SOURCE.md writes 3.0 um for the CZI's steps along Z; the file itself states 3e-7 m, and "Increment"
# 0.3, so 0.3 um.
EXPECTED: dict[str, tuple[FormatView, ...]] = {
    "neubias/xy_12bit__saturated_plant.tif": _expect("YX", (512, 512), "uint16", 9, 4095, 2.486),
    "neubias/xy_16bit__nuclei_high_dynamic_range.tif": _expect("YX", (147, 149), "uint16", 233, 1867),
    "neubias/xy_16bit_calibrated__nuclei_various_shapes.tif": _expect("YX", (253, 269), "uint16", 33028, 36201, 0.2),
    "neubias/xy_8bit__nuclei_PLK1_control.tif": _expect("YX", (682, 682), "uint8", 0, 251, 0.16605),
    "neubias/xy_float__nuclei_probability.tif": _expect("YX", (50, 59), "float32", 0, 1),
    "neubias/xyc_16bit__hela-cells.tif": _expect("YXC", (512, 672, 3), "uint16", 0, 4095, 0.05149, channel="?"),
    "neubias/xyc_16bit__nuclei_golgi.tif": _expect("CYX", (2, 220, 204), "uint16", 28, 3828, 0.51575, channel="?"),
    "neubias/xyc_16bit__nuclei_tubulin_crop.tif": _expect("CYX", (2, 156, 163), "uint16", 32991, 34733, channel="?"),
    "neubias/xyc_8bit__membranes_nuclei.tif": _expect("CYX", (2, 354, 475), "uint8", 0, 104, channel="?"),
    "neubias/xyz_8bit__nuclei_autothresh.tif": _expect("ZYX", (37, 118, 132), "uint8", 0, 245, 0.82864, 4.0),
    "neubias/xyz_8bit__nucleus.tif": _expect("ZYX", (7, 207, 207), "uint8", 0, 247),
    "neubias/xyzc_16bit__dna_conf_wf.tif": _expect(
        "ZCYX", (45, 2, 130, 133), "uint16", 0, 61711, 0.51188, 0.4994, channel="?"
    ),
    "neubias/xy_8bit_binary__two_cells_matlabstyle.tif": _expect("YX", (48, 56), "uint8", 0, 1),
    "neubias/xyz__multiple_images.czi": (
        *_expect(*_CZI, 10142, 20314, 0.19564, 0.3, channels=("ChA",)),
        *_expect(*_CZI, 10272, 17468, 0.19564, 0.3, channels=("ChA",)),
    ),
    "arcadia_nd2/example-multichannel.nd2": _expect(
        "CYX", (4, 256, 256), "uint16", 98, 17636, 0.32339, channels=ND2, channel="1 DAPI"
    ),
    "arcadia_nd2/example-pbmc.nd2": _expect(
        "CYX", (4, 256, 256), "uint16", 639, 59176, 0.64678, channels=ND2, channel="1 DAPI"
    ),
    "arcadia_nd2/example-cerevisiae.nd2": _expect(
        "CYX", (2, 256, 256), "uint16", 76, 37570, 0.10833, channels=("DIC", "FITC BP"), channel="?"
    ),
    "arcadia_nd2/example-timelapse.nd2": _expect(
        "TYX", (53, 64, 64), "uint16", 449, 65535, 0.325, None, 0.50016, channels=("GFP 488 nm",)
    ),
    "arcadia_nd2/example-zstack.nd2": _expect(
        "ZYX", (11, 128, 128), "uint16", 0, 5482, 0.32339, 6.0, channels=("FITC BP",)
    ),
    "galaxy/BBBC033_C2_z28-lzw.tiff": _expect("YX", (1344, 1024), "uint8", 4, 254),
    "galaxy/input1_uint8.tiff": _expect("YX", (265, 329), "uint8", 23, 254),
    "galaxy/input2_float64.tiff": _expect("YX", (265, 329), "float64", 0.0902, 0.9961),
    "galaxy/input3_uint16.tiff": _expect("YXC", (58, 64, 3), "uint16", 54612, 65535, channel="?"),
    "galaxy/input4_float16.tiff": _expect("ZYX", (10, 15, 18), "float16", 0.000127, 1),
    "galaxy/res.ome.tiff": _expect("YXS", (25, 26, 4), "uint8", 0, 255, channel="?"),
    "galaxy/xyz_8bit__mitotic_plate_calibrated.tiff": _expect("ZYX", (6, 263, 263), "uint8", 3, 162, 0.085196, 3.0),
    "galaxy/xyz_8bit__mitotic_plate_calibrated.ome.zarr": _expect(
        "TCZYX", (1, 1, 6, 263, 263), "uint8", 3, 162, 0.085196, 3.0, channels=("Channel 0",)
    ),
    "galaxy/ome-zarr-examples/image-02.zarr": _expect("YX", (200, 200), "float64", 0.0072, 999.987, 1.0),
    "galaxy/ome-zarr-examples/image-04.zarr": _expect(
        "ZYX", (2, 64, 64), "float64", 0, 0, 1.0, 1.0, note="none of its chunks is stored"
    ),
    "phenoptr/FIHC4__0929309_HP_IM3_2_component_data.tif": _expect(
        "CYX",
        (5, 260, 348),
        "float32",
        0,
        163.44,
        0.49715,
        channels=("Alexa 594", "Cy3", "Cy5", "DAPI", "FITC"),
        channel="3 DAPI",
    ),
    "phenoptr/FIHC4__0929309_HP_IM3_2_binary_seg_maps.tif": _expect(
        "IYX", (4, 260, 348), "uint16", 0, 270, note="its pages are label maps"
    ),
    "vizgen_merscope/mosaic_DAPI_z3.tif": _expect("YX", (880, 880), "uint16", 2942, 31148),
    "vizgen_merscope/mosaic_Cellbound2_z3.tif": _expect("YX", (880, 880), "uint16", 481, 6355),
    "tools_mti/unmicst_105_dapi_tissue_16bit.tif": _expect("YX", (832, 960), "uint16", 31, 49531, 0.65),
    "tools_mti/malformed_ome_rename_test.ome.tiff": _expect(
        "IYX",
        (2, 512, 512),
        "uint8",
        1,
        1,
        note="its OME-XML promises 19 planes of 4430x3552, and it holds 2 of 512x512",
    ),
    "ndev_pypi/scratch-assay-labeled-10T-2Ch.tiff": _expect(
        "CTYX",
        (4, 10, 210, 576),
        "uint16",
        0,
        None,
        0.619,
        channels=("H3342", "oblique", "nuclei", "cyto"),
        channel="?",
    ),
}


def report(path: Path) -> tuple[FormatView, ...]:
    """What we read of a file, scene by scene; every plane is read."""
    with open_image(path) as image:
        views: list[FormatView] = []
        for number, scene in enumerate(image.scenes):
            try:
                channel = stack_of(image, str(path), PlaneChoice(scene=number)).channel
            except EdgescopeError:
                channel = "?"
            views.append(_view(scene, channel))
        return tuple(views)


def _view(scene: Scene, channel: str) -> FormatView:
    planes = [scene.read(index) for index in product(*map(range, scene.loops.values()))]
    low, high = min(plane.min() for plane in planes), max(plane.max() for plane in planes)
    y, x = scene.spacing.y_um, scene.spacing.x_um
    return FormatView(
        scene.axes,
        scene.shape,
        str(scene.dtype),
        float(low),
        float(high),
        (y, x) if y and x else None,
        scene.spacing.z_um,
        scene.spacing.t_s,
        scene.channels,
        channel,
        "; ".join(scene.notes),
    )


def compare(expected: tuple[FormatView, ...], found: tuple[FormatView, ...]) -> str:
    """What differs, in words; "" where nothing does. Numbers are compared as precisely as they were written down."""
    if len(expected) != len(found):
        return f"{len(found)} scenes instead of {len(expected)}"
    return "; ".join(
        f"{name} {ours!r} instead of {right!r}"
        for one, other in zip(expected, found, strict=True)
        for name, right, ours in zip(FormatView._fields, one, other, strict=True)
        if not _equal(name, right, ours)
    )


def _equal(name: str, right: object, ours: object) -> bool:
    if name == "note":
        return str(ours).startswith(str(right)) if right else not ours
    if name == "high" and right is None:
        return True
    if right is None or ours is None or isinstance(right, str) or name in ("shape", "channels"):
        return right == ours
    return bool(
        np.allclose(
            np.asarray(ours, float), np.asarray(right, float), rtol=2e-3, atol=5e-5 if name in ("low", "high") else 0
        )
    )


def _cell(view: FormatView) -> str:
    sizes = "x".join(map(str, view.shape))
    um = "none" if view.pixel is None else f"{view.pixel[1]:.5g}"
    steps = "".join(f", {name} {step:.5g}" for name, step in (("z", view.z_um), ("t", view.t_s)) if step)
    taken = {"": "", "?": "; asks for the channel"}.get(view.channel, f"; takes {view.channel}")
    names = f"; {', '.join(view.channels)}" if view.channels else ""
    high = "" if view.high is None else f"{view.high:.6g}"
    note = f"; {view.note}" if view.note else ""
    return f"{view.axes} {sizes} {view.dtype}, {view.low:.6g}..{high}, {um}{steps}{names}{taken}{note}"


@app.command()
def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="data/reader_files")],
    out: Annotated[Path | None, typer.Option(metavar="F", help="Write the page, too, e.g. docs/formats.md.")] = None,
) -> int:
    """Print the table; exit code 1 where a file is missing or reported otherwise."""
    lines: list[str] = []
    failed = 0
    for name, expected in EXPECTED.items():
        module, extra = MODULES.get(Path(name).suffix, ("tifffile", "io"))
        if not extras.available(module):
            msg = f"{name} needs {module}; run: {extras.install(extra)}"
            raise EdgescopeError(msg)
        try:
            found = report(folder / name)
        except EdgescopeError as error:
            difference, ours = str(error), [str(error)]
        else:
            difference, ours = compare(expected, found), [_cell(view) for view in found]
        failed += bool(difference)
        right = "<br>".join(_cell(view) for view in expected)
        lines.append(f"| {name} | {right} | {'<br>'.join(ours)} | {difference or 'equal'} |")
    head = ["| file | right | ours | |", "|---|---|---|---|"]
    print("\n".join([*head, *lines]))
    print(f"\n{len(EXPECTED) - failed} of {len(EXPECTED)} files are reported as they are.")
    if out is not None:
        page = PAGE.format(table="\n".join([*head, *lines]), count=len(EXPECTED), equal=len(EXPECTED) - failed)
        out.write_text(page, encoding="utf-8")
    return 1 if failed else 0


PAGE = """# Image formats

`runtime predict`, `runtime segment`, `distill` data folders and `benchmarks run --images` read the same files by the
same code, `runtime/images`. A file is known by its first bytes, not by its name.

| format | by | extra |
|---|---|---|
| PNG | Pillow | `io` |
| TIFF, OME-TIFF, ImageJ, qptiff, SVS, LSM, STK, NDPI, SCN | tifffile | `io` |
| CZI | czifile | `readers` |
| ND2 | nd2 | `readers` |
| LIF | liffile | `readers` |
| OME-Zarr 0.4 and 0.5, also plates and bioformats2raw | zarr | `readers` or `dask` |

    pip install "edgescope-runtime[openvino,readers]"

The libraries are under BSD licences (Pillow: MIT-CMU, zarr: MIT). No library under the GPL is used.

- **Channel.** `--channel N` or `--channel NAME`. Without it the only channel is taken, or the only one whose name says
  that it is nuclear (DAPI, Hoechst, H33342, DRAQ5, SYTOX, nuclei, DNA, H2B and others). If none or several may be, the
  command lists them and stops.
- **Scene.** Positions, fields of a plate and the images of a project are scenes. `--scene N` or `--scene NAME`; a file
  with several asks for it. A TIFF that has further images of another size, and does not say what they are, is read by
  its first one, with a note.
- **Z and time.** Every plane is segmented by itself. `--z N`, `--z max` and `--z mean` take one plane or a projection.
- **Sizes.** The pixel size is that of the file, in micrometres, along each axis. A size that the file does not state is
  none: 72 dpi is no calibration. `--pixel-size UM` gives it. Where pixels are not square, areas are right, lengths are
  those of a square of the same area, and a note says so.
- **Types.** Integers and floats of any width. What is not uint8, uint16 or float32 becomes the smallest of these that
  holds it; whole numbers above 2**24 and float64 are rounded to float32.
- **Memory.** Planes are read one at a time. An image whose planes or results need more than `--max-memory` (half of
  what is free) is refused before it is read; `segment` reads large TIFF files and OME-Zarr in blocks.

## Checked on real files

`python -m tools.formats DIR --out docs/formats.md` made this table. Sizes are in micrometres, times in seconds. "right"
is what was read from the files' metadata by hand. {equal} of {count} files are reported as they are. The CZI's list
said 3.0 um along Z; the file itself says 0.3, which is what stands here.

{table}
"""

if __name__ == "__main__":
    sys.exit(command_line.run(lambda: app, "tools.formats", "bench", sys.argv[1:]))
