"""The command `ssh`: measure on a device that OpenSSH reaches."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.campaign import ssh as flow
from benchmarks.commands.options import Json
from benchmarks.commands.run import show
from benchmarks.inputs.source import check_one
from runtime import __version__
from runtime.errors import InputError
from runtime.system.places import check_file

OURS = ("--artifact", "--data", "--images", "--out", "--pictures", "--json")  # given here, not to the run there


def ssh(
    host: Annotated[str, typer.Argument(metavar="HOST", help="HOST, USER@HOST, or a name of your ssh configuration.")],
    artifact: Annotated[list[Path], typer.Option(metavar="A...", help="Artefacts: folders or .zip.")],
    run_options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTION...]", help="Further options of `benchmarks run`.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME:PATH", help="Labelled data; a path on this machine is copied to the device."),
    ] = None,
    images: Annotated[
        list[Path] | None, typer.Option(metavar="FILE...", help="Images on this machine, without labels.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="F", help="File for the report.")] = Path("report.json"),
    port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="Port of the device's ssh server.")
    ] = None,
    identity: Annotated[Path | None, typer.Option(metavar="F", help="A private key.")] = None,
    ssh_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of ssh, e.g. ProxyJump=gate.")
    ] = None,
    python: Annotated[str, typer.Option(metavar="P", help="Python 3.10 or later on the device.")] = "python3",
    wheel: Annotated[
        Path | None, typer.Option(metavar="F", help="The wheel edgescope-runtime. Default: built from this checkout.")
    ] = None,
    wheelhouse: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of wheels, for a device without internet access.")
    ] = None,
    install: Annotated[
        bool,
        typer.Option(
            "--install/--no-install", help="Install edgescope-runtime[bench] on the device, or use what --python has."
        ),
    ] = True,
    system_packages: Annotated[
        bool,
        typer.Option("--system-packages", help="Let the new environment use the device's own packages."),
    ] = False,
    data_is_there: Annotated[
        bool, typer.Option("--data-is-there", help="The path of --data is on the device.")
    ] = False,
    folder: Annotated[str | None, typer.Option(metavar="DIR", help="Folder on the device. Default: a new one.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder on the device; with --folder, the next run starts faster.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands without running them.")] = False,
    json_file: Json = None,
) -> int:
    """Copy artefacts and the thin wheel to a device, run the benchmarks there, and bring the report back."""
    check_one(data, images or ())
    check_file(out, json_file)
    _check_local(images or [], identity, wheelhouse, run_options or [])
    artifacts = tuple(artifact)
    connection = flow.Connection(host, port, identity, tuple(ssh_option or ()))
    with TemporaryDirectory(prefix="edgescope-wheel-") as built:
        plan = flow.RemotePlan(
            connection=connection,
            artifacts=artifacts,
            data=data,
            images=tuple(images or ()),
            wheel=_wheel(wheel, Path(built), dry_run) if install else None,
            wheelhouse=wheelhouse,
            python=python,
            folder=folder or flow.fresh_folder(),
            keep=keep,
            system_packages=system_packages or any(map(flow.needs_system, artifacts)),
            data_is_there=data_is_there,
            options=tuple(run_options or ()),
        )
        if dry_run:
            for stage in flow.stages(plan, out):
                typer.echo(f"# {stage.what}\n{shlex.join(stage.command)}")
            return 0
        errors = Console(stderr=True)
        with errors.status("connect") as status:
            report = flow.run(plan, out, lambda what: status.update(f"{host}: {what}"))
    show([report], json_file)
    errors.print(f"Report: {out}", style="dim", markup=False)
    if keep:
        errors.print(f"Left on {host}: {plan.folder}", style="dim", markup=False)
    return 1 if report.failed else 0


def _check_local(
    images: Sequence[Path], identity: Path | None, wheelhouse: Path | None, options: Sequence[str]
) -> None:
    """Check the input on this machine before anything is sent to the device."""
    for path in (*images, *([identity] if identity else [])):
        if not path.exists():
            msg = f"There is no {str(path)!r} on this machine."
            raise InputError(msg)
    if wheelhouse and not any(wheelhouse.glob("*.whl")):
        msg = f"{str(wheelhouse)!r} holds no wheel; fill it with: pip download --dest {wheelhouse} ..."
        raise InputError(msg)
    if mine := [word for word in options if word.partition("=")[0] in OURS]:
        msg = f"{mine[0]} belongs before the --, to `benchmarks ssh`."
        raise InputError(msg)


def _wheel(wheel: Path | None, folder: Path, dry_run: bool) -> Path:
    if wheel and not wheel.is_file():
        msg = f"There is no wheel {str(wheel)!r}; leave --wheel out to build it from a checkout."
        raise InputError(msg)
    if wheel or not dry_run:
        return wheel or flow.build_wheel(folder)
    return folder / flow.wheel_name(__version__)
