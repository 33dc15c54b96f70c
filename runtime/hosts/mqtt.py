"""MQTT: a host without a screen that segments folders of images on command (extra `mqtt`).

Topics and payloads are those of PlanktoScope's segmenter, so that its dashboard and scripts can drive this one:

    segmenter/segment               {"action": "segment", "path": FOLDER or [FOLDER, ...], "settings": {"force": false,
                                    "recursive": true}}, or {"action": "stop"}
    status/segmenter                {"status": S}: Ready, Started, Busy, "Segmenting image a.tif, image 1/12", Done,
                                    Interrupted, Dead (also by the broker, when this host is gone), or what went wrong
    status/segmenter/object_id      {"object_id": 3}, for each object
    status/segmenter/metric         {"name": "a_3", "metadata": {...}}, for each object, in pixels; see `metrics`

The objects of IMAGE are written beside it, as IMAGE-objects.csv. The file `done` marks a folder that is done, which is
left out unless the command says "force"; it is JSON, with the artefact, and the threshold and rule used for each image.
Folders must be inside of the one that the host was started for.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import EdgescopeError, InputError
from ..frames.scale import SEEN
from ..images import files as images
from ..images.planes import PlaneChoice, planes_of
from ..objects.files import PlaneObjects, write_csv
from ..system import atomic, extras
from ..system.places import is_litter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..frames.scale import Scale
    from ..segmenter import Segmenter

log = logging.getLogger(__name__)

COMMAND = "segmenter/segment"
STATUS = "status/segmenter"
DONE = "done"
OBJECTS = "-objects.csv"
SUFFIXES = tuple(suffix for suffix in images.SUFFIXES if suffix not in images.FOLDERS)
MOST_BYTES = 1 << 16  # of a command; a longer one is none
USER, PASSWORD = "EDGESCOPE_MQTT_USER", "EDGESCOPE_MQTT_PASSWORD"  # of the environment, as commands are seen by all
RETRY_S = 30  # at most between two tries to reach the broker


@dataclass(frozen=True)
class Broker:
    """Where the broker is. User and password come from the environment: EDGESCOPE_MQTT_USER, _PASSWORD."""

    host: str = "localhost"
    port: int = 1883
    tls: bool = False


def parse_broker(text: str, *, tls: bool = False) -> Broker:
    """HOST or HOST:PORT; InputError for another one."""
    host, _, port = text.rpartition(":") if ":" in text else (text, "", "8883" if tls else "1883")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        msg = f"The broker is {text!r}; give HOST or HOST:PORT, for example localhost:1883."
        raise InputError(msg)
    return Broker(host, int(port), tls)


class MqttHost:
    """Takes commands, one at a time, and tells what comes of them."""

    def __init__(self, segment: Segmenter, root: Path, channel: int | str | None = None) -> None:
        """root : the folder that all images are in; channel : which one, from 0 or by name, of images with several.

        InputError when there is no such folder.
        """
        self._segment, self._root, self._choice = segment, Path(root).expanduser().resolve(), PlaneChoice(channel)
        if not self._root.is_dir():
            msg = f"{root} is no folder; give the one that the images are in."
            raise InputError(msg)
        self._commands: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._busy = threading.Lock()
        self._stop = threading.Event()
        self._publish: Callable[[str, Any], object] = _unheard

    def serve(self, broker: Broker) -> None:
        """Follow commands until `end` is called; a broker that is away is waited for."""
        client = self._connect(broker)

        def publish(topic: str, message: Any) -> None:
            client.publish(topic, json.dumps(message), qos=int(topic == STATUS))

        self._publish = publish
        client.loop_start()
        try:
            while (command := self._commands.get()) is not None:
                self._obey(command)
        finally:
            farewell = client.publish(STATUS, json.dumps({"status": "Dead"}), qos=1)
            if client.is_connected():
                farewell.wait_for_publish(2)
            client.disconnect()
            client.loop_stop()

    def end(self) -> None:
        """Stop after the image that is being segmented. May be called from a signal handler."""
        self._stop.set()
        self._commands.put(None)

    def hear(self, payload: bytes) -> None:
        """Take a command in; called in the client's thread."""
        try:
            command = _command(payload)
        except InputError as error:
            self._tell(str(error))
            return
        if command["action"] == "stop":
            self._stop.set()
        elif self._busy.acquire(blocking=False):
            self._stop.clear()
            self._commands.put(command)
        else:
            self._tell("Busy")

    def _connect(self, broker: Broker) -> Any:
        mqtt = extras.load("paho.mqtt.client", extra="mqtt")
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"edgescope-{os.getpid()}")
        if USER in os.environ:
            client.username_pw_set(os.environ[USER], os.environ.get(PASSWORD))
        if broker.tls:
            client.tls_set()
        client.will_set(STATUS, json.dumps({"status": "Dead"}), qos=1)
        client.reconnect_delay_set(1, RETRY_S)

        def connected(client: Any, _: Any, __: Any, reason: Any, ___: Any) -> None:
            if reason.is_failure:
                log.warning("the broker at %s:%d refuses: %s", broker.host, broker.port, reason)
                return
            client.subscribe(COMMAND, qos=1)

        def subscribed(*_: Any) -> None:
            self._tell("Busy" if self._busy.locked() else "Ready")

        def unreachable(*_: Any) -> None:
            log.warning("no broker answers at %s:%d", broker.host, broker.port)

        def message(_: Any, __: Any, received: Any) -> None:
            self.hear(received.payload)

        client.on_connect, client.on_subscribe = connected, subscribed
        client.on_connect_fail, client.on_message = unreachable, message
        client.connect_async(broker.host, broker.port)
        return client

    def _obey(self, command: Mapping[str, Any]) -> None:
        try:
            self._tell("Started")
            ended = all(self._folder(folder, command["force"]) for folder in self._folders(command))
            self._tell("Done" if ended else "Interrupted")
        except (EdgescopeError, OSError) as error:
            log.warning("%s", error)
            self._tell(f"An exception was raised during the segmentation: {error}.")
        finally:
            self._busy.release()

    def _folders(self, command: Mapping[str, Any]) -> Iterator[Path]:
        """The folders with images, those inside of others included where the command says so."""
        for text in command["path"] or [str(self._root)]:
            folder = self._inside(self._root / text)
            if not folder.is_dir():
                msg = f"{text} is no folder in {self._root}"
                raise InputError(msg)
            yield folder
            if command["recursive"]:
                yield from sorted(self._inside(inner) for inner in folder.rglob("*") if inner.is_dir())

    def _folder(self, folder: Path, force: bool) -> bool:
        """Segment the images of one folder; whether that was not interrupted."""
        if (folder / DONE).exists() and not force:
            return True
        files = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not is_litter(path.name)
        )
        used: dict[str, Any] = {}
        for number, path in enumerate(files, 1):
            if self._stop.is_set():
                return False
            self._tell(f"Segmenting image {path.name}, image {number}/{len(files)}")
            used[path.name] = self._image(self._inside(path))
        if files:
            manifest = self._segment.manifest
            record = {"artifact": f"{manifest.student}-{manifest.target}-{manifest.precision}", "images": used}
            atomic.write_bytes(folder / DONE, json.dumps(record, indent=2).encode())
        return True

    def _image(self, path: Path) -> dict[str, float]:
        """Segment an image, write and tell its objects; the settings that its last plane was segmented with."""
        used: dict[str, float] = {}
        planes: list[PlaneObjects] = []
        scale: Scale | None = None  # the first plane whose objects are seen decides for all
        for plane in planes_of(path, self._choice):
            result = self._segment(plane.frame, plane.pixel_size_um, scale=scale)
            scale = result.scale if result.scale.source == SEEN else scale
            used = result.settings
            planes.append(PlaneObjects(result.labels(), result.table(), plane.label, plane.time, plane.focus))
        write_csv(path.with_name(path.name + OBJECTS), planes)
        for plane in planes:
            stem = "_".join(filter(None, [path.stem, plane.name]))
            for row in plane.table:
                label = int(row["label"])
                self._publish(f"{STATUS}/object_id", {"object_id": label})
                self._publish(f"{STATUS}/metric", {"name": f"{stem}_{label}", "metadata": metrics(row)})
        return used

    def _inside(self, path: Path) -> Path:
        """The path, without links; InputError when it is not in the root: a command may come from anyone."""
        resolved = path.resolve()
        if not resolved.is_relative_to(self._root):
            msg = f"{path} is not inside of {self._root}, where this host reads images"
            raise InputError(msg)
        return resolved

    def _tell(self, status: str) -> None:
        self._publish(STATUS, {"status": status})


def metrics(row: Any) -> dict[str, float | int]:
    """An object, a row of measure.TABLE, by PlanktoScope's names, in pixels; the centre of pixel (0, 0) is (0, 0).

    MeanValue and StdValue are of the frame's own values. What needs colours or holes is left out.
    """
    height, width = (
        int(row[f"bbox_{end}_px"] - row[f"bbox_{start}_px"]) for end, start in (("bottom", "top"), ("right", "left"))
    )
    area, perimeter = int(row["area_px"]), float(row["perimeter_px"])
    major, minor = float(row["major_axis_px"]), float(row["minor_axis_px"])
    values = {
        "label": int(row["label"]),
        "width": width,
        "height": height,
        "bx": int(row["bbox_left_px"]),
        "by": int(row["bbox_top_px"]),
        "x": float(row["centroid_col_px"]),
        "y": float(row["centroid_row_px"]),
        "area": area,
        "convex_area": area / float(row["solidity"]),
        "perim": perimeter,
        "circ": 4 * math.pi * area / perimeter**2 if perimeter else math.nan,
        "major": major,
        "minor": minor,
        "elongation": major / minor if minor else math.nan,
        "perimmajor": perimeter / major if major else math.nan,
        "angle": math.degrees(float(row["orientation_rad"])) + 90,
        "eccentricity": float(row["eccentricity"]),
        "solidity": float(row["solidity"]),
        "equivalent_diameter": 2 * math.sqrt(area / math.pi),
        "bounding_box_area": width * height,
        "extent": area / (width * height),
        "local_centroid_col": float(row["centroid_col_px"]) - int(row["bbox_left_px"]),
        "local_centroid_row": float(row["centroid_row_px"]) - int(row["bbox_top_px"]),
        "MeanValue": float(row["mean_intensity"]),
        "StdValue": float(row["sd_intensity"]),
    }
    return {name: value for name, value in values.items() if np.isfinite(value)}  # JSON has no NaN


def _command(payload: bytes) -> dict[str, Any]:
    """A command with all of its settings; InputError for what is none."""
    parsed: Any = None
    if len(payload) <= MOST_BYTES:
        with suppress(ValueError, RecursionError):
            parsed = json.loads(payload)
    fields = cast("dict[str, Any]", parsed if isinstance(parsed, dict) else {})
    settings: Any = fields.get("settings") or {}
    path: Any = fields.get("path") or []
    paths = cast("list[Any]", path if isinstance(path, list) else [path])
    if fields.get("action") == "stop":
        return {"action": "stop"}
    if fields.get("action") != "segment" or not isinstance(settings, dict) or not all(map(_is_path, paths)):
        msg = (
            f'This is no command: {payload[:80]!r}; send {{"action": "segment", "path": FOLDER}} or '
            '{"action": "stop"}.'
        )
        raise InputError(msg)
    options = cast("dict[str, Any]", settings)
    return {
        "action": "segment",
        "path": paths,
        "force": bool(options.get("force", False)),
        "recursive": bool(options.get("recursive", True)),
    }


def _unheard(topic: str, message: Any) -> None:
    """Before there is a client."""


def _is_path(text: object) -> bool:
    return isinstance(text, str) and "\0" not in text
