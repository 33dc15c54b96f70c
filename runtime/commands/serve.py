"""serve: segment folders of images on command by MQTT, on a host without a screen; see runtime.hosts.mqtt."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from ..artifact.artifact import open_artifact
from ..hosts.mqtt import MqttHost, parse_broker
from ..images.planes import number_or_name
from ..segmenter import Segmenter
from ..system import extras
from .options import add_diameter, add_execution, add_rule, add_trust, execution_of, rule_of
from .output import write_json

if TYPE_CHECKING:
    import argparse

NAME = "serve"
EXAMPLE = "serve artifacts/nuclei-fast-intel-int8 --folder /data/images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("artifact", type=Path, help="artefact name, folder or .zip")
    parser.add_argument(
        "--folder", type=Path, required=True, metavar="DIR", help="folder of the images; no other folder is read"
    )
    parser.add_argument("--broker", default="localhost", metavar="HOST[:PORT]", help="MQTT broker (default: localhost)")
    parser.add_argument("--tls", action="store_true", help="encrypt the connection, with the system's certificates")
    parser.add_argument("--channel", metavar="N|NAME", help="which channel to read: a number from 0, or a name")
    add_diameter(parser)
    add_rule(parser)
    add_trust(parser)
    add_execution(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; exit code 0 then."""
    broker, change = parse_broker(args.broker, tls=args.tls), rule_of(args)
    for module, extra in (("paho.mqtt.client", "mqtt"), ("tifffile", "io")):
        extras.load(module, extra=extra)  # better now than with the first command
    artifact = open_artifact(args.artifact, args.trust)
    with Segmenter.of(artifact, execution_of(args), diameter=args.diameter, change=change) as segment:
        host = MqttHost(segment, args.folder, number_or_name(args.channel))

        def end(*_: object) -> None:
            host.end()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        print(f"{args.artifact} ({segment.backend}) serves {args.folder} at {broker.host}:{broker.port}", flush=True)
        host.serve(broker)
    write_json(args.json, {"artifact": str(args.artifact), "images": str(args.folder), "backend": segment.backend})
    return 0
