"""The command `objects`: what labels and measures cost on this machine, by how many nuclei there are."""

from typing import Annotated

import typer

from benchmarks.camera import objects as objects_run
from benchmarks.commands.options import Json, progress
from runtime.commands.output import write_json
from runtime.errors import InputError
from runtime.segmenter import default_threads
from runtime.system.places import check_file

LARGEST = 16384  # its maps and labels take 4 GB


def objects(
    side: Annotated[
        list[int] | None, typer.Option(metavar="N", min=64, help="Side of the fields in pixels; may be repeated.")
    ] = None,
    nuclei: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, help="About how many in 2048x2048 pixels; may be repeated."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of threads. Default: up to 4, as in the runtime.")
    ] = None,
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Number of times.")] = 15,
    json_file: Json = None,
) -> int:
    """Time labels and objects of drawn maps with few and many nuclei, beside a plain copy of a map."""
    check_file(json_file)
    sides, counts = side or [2048], nuclei or [300, 1500, 3500]
    if max(sides) > LARGEST:
        msg = f"Side is {max(sides)}; it must be at most {LARGEST}."
        raise InputError(msg)
    rows: list[objects_run.ObjectsCost] = []
    with progress("objects", len(sides) * len(counts)) as step:
        for one in sides:
            dense = [max(1, round(count * (one / 2048) ** 2)) for count in counts]
            rows += objects_run.measure(one, dense, threads or default_threads(), repeats, lambda: step(""))
    print(
        f"{'field':>11} {'nuclei':>7} {'labels':>8} {'table':>8} {'tuple':>8} {'all ms':>8} {'best':>8} {'copy':>7}"
        f" {'ns/px':>6}"
    )
    for row in rows:
        print(
            f"{f'{row.side}x{row.side}':>11} {row.nuclei:>7} {row.labels_ms:8.2f} {row.table_ms:8.2f} "
            f"{row.tuple_ms:8.2f} {row.median_ms:8.2f} {row.least_ms:8.2f} {row.copy_ms:7.2f} {row.ns_per_pixel:6.1f}"
        )
    print(f"medians of {repeats} with {rows[0].threads} thread(s); ns/px: all, per pixel of the foreground")
    write_json(json_file, {"objects": [{**row.to_dict(), "ns_per_pixel": row.ns_per_pixel} for row in rows]})
    return 0
