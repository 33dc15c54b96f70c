"""The MQTT host beside a real broker (mosquitto, where it is installed), and what it makes of every kind of command."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from runtime import InputError, Segmenter
from runtime.hosts.mqtt import Broker, MqttHost, metrics, parse_broker
from runtime.objects.measure import measure_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

tifffile = pytest.importorskip("tifffile")

ROOT = Path(__file__).parents[3]
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
Published = "list[tuple[str, Any]]"


def spots(count: int = 2) -> np.ndarray:
    frame = np.full((70, 90), 100, np.uint16)
    for number in range(count):
        frame[10 + 25 * number : 25 + 25 * number, 20:50] = 4000
    return frame


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with two images, and one inside with a third."""
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for name, count in (("a.tif", 2), ("b.tif", 1), ("deep/c.tif", 2)):
        tifffile.imwrite(tmp_path / "images" / name, spots(count))
    return tmp_path / "images"


@pytest.fixture
def host(artifact_path: Path, images: Path) -> Iterator[tuple[MqttHost, Published]]:
    """A host without a broker, and what it publishes."""
    with Segmenter.open(artifact_path) as segment:
        made, published = MqttHost(segment, images), []
        made._publish = lambda topic, message: published.append((topic, message))
        yield made, published


def obey(host: MqttHost, command: Any) -> None:
    """Take one command in and carry it out."""
    host.hear(command if isinstance(command, bytes) else json.dumps(command).encode())
    while not host._commands.empty():
        host._obey(host._commands.get())


def statuses(published: Published) -> list[str]:
    return [message["status"] for topic, message in published if topic == "status/segmenter"]


def test_a_command_segments_every_image_and_tells_of_each_object(host: tuple[MqttHost, Published], images: Path):
    made, published = host
    obey(made, {"action": "segment", "path": ""})
    assert statuses(published) == [
        "Started",
        "Segmenting image a.tif, image 1/2",
        "Segmenting image b.tif, image 2/2",
        "Segmenting image c.tif, image 1/1",
        "Done",
    ]
    ids = [message["object_id"] for topic, message in published if topic == "status/segmenter/object_id"]
    names = [message["name"] for topic, message in published if topic == "status/segmenter/metric"]
    assert ids == [1, 2, 1, 1, 2]
    assert names == ["a_1", "a_2", "b_1", "c_1", "c_2"]
    with (images / "a.tif-objects.csv").open(encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["1", "2"]
    assert (images / "deep" / "done").exists()
    done = json.loads((images / "done").read_text(encoding="utf-8"))
    assert done["artifact"] == "tiny-intel-fp32"
    assert list(done["images"]) == ["a.tif", "b.tif"]
    assert done["images"]["a.tif"]["threshold"] == 0.5
    assert done["images"]["a.tif"]["min_area"] == 4


def test_thresholds_of_ones_own_are_used_and_written_down(artifact_path: Path, images: Path):
    with Segmenter.open(artifact_path, threshold=0.9, min_area=10_000) as segment:
        obey(MqttHost(segment, images), {"action": "segment"})
    assert (images / "a.tif-objects.csv").read_text(encoding="utf-8").count("\n") == 1  # the heading
    used = json.loads((images / "done").read_text(encoding="utf-8"))["images"]["a.tif"]
    assert (used["threshold"], used["min_area"]) == (0.9, 10_000)


def test_serve_refuses_a_threshold_that_cannot_be_before_it_looks_for_a_broker(images: Path, artifact_path: Path):
    command = [
        sys.executable,
        "-m",
        "runtime",
        "serve",
        str(artifact_path),
        "--folder",
        str(images),
        "--threshold",
        "2",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 2
    assert "The threshold is 2" in result.stderr


def test_what_is_done_is_left_out_unless_forced(host: tuple[MqttHost, Published]):
    made, published = host
    obey(made, {"action": "segment"})
    published.clear()
    obey(made, {"action": "segment", "path": ["", "deep"]})
    assert statuses(published) == ["Started", "Done"]
    published.clear()
    obey(made, {"action": "segment", "path": "deep", "settings": {"force": True, "recursive": False}})
    assert statuses(published) == ["Started", "Segmenting image c.tif, image 1/1", "Done"]


def test_stop_ends_after_the_image_and_a_second_command_is_told_that_it_is_busy(host: tuple[MqttHost, Published]):
    made, published = host

    def publish(topic: str, message: Any) -> None:
        published.append((topic, message))
        if "a.tif" in message.get("status", ""):
            made.hear(b'{"action": "segment"}')
            made.hear(b'{"action": "stop"}')

    made._publish = publish
    obey(made, {"action": "segment"})
    assert statuses(published) == ["Started", "Segmenting image a.tif, image 1/2", "Busy", "Interrupted"]


@pytest.mark.parametrize("path", ["..", "/etc", "deep/../..", "link"])
def test_no_folder_outside_is_read(host: tuple[MqttHost, Published], images: Path, path: str):
    (images / "link").symlink_to(images.parent)
    made, published = host
    obey(made, {"action": "segment", "path": path})
    assert "not inside" in statuses(published)[-1]
    assert not [topic for topic, _ in published if topic.endswith("metric")]


def test_an_image_that_is_a_link_to_the_outside_is_not_read(host: tuple[MqttHost, Published], images: Path):
    tifffile.imwrite(images.parent / "secret.tif", spots())
    (images / "0.tif").symlink_to(images.parent / "secret.tif")
    made, published = host
    obey(made, {"action": "segment"})
    assert "not inside" in statuses(published)[-1]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"segment",
        b"[]",
        b"\xff\xfe",
        b'{"action": "segment", "path": 3}',
        b'{"action": "segment", "path": [null]}',
        b'{"action": "segment", "path": "a\\u0000"}',
        b'{"action": "segment", "settings": "force"}',
        b'{"action": "format"}',
        b"[" * 60_000,
        b" " * 70_000 + b'{"action": "stop"}',
    ],
)
def test_what_is_no_command_is_told_and_nothing_else_happens(host: tuple[MqttHost, Published], payload: bytes):
    made, published = host
    obey(made, payload)
    (status,) = statuses(published)
    assert status.startswith("This is no command")
    obey(made, {"action": "segment", "path": "deep"})
    assert statuses(published)[-1] == "Done"


def test_a_damaged_image_is_told_and_the_host_goes_on(host: tuple[MqttHost, Published], images: Path):
    (images / "a.tif").write_bytes(b"II*\0")
    made, published = host
    obey(made, {"action": "segment"})
    assert "a.tif" in statuses(published)[-1]
    assert "exception" in statuses(published)[-1]
    obey(made, {"action": "segment", "path": "deep"})
    assert statuses(published)[-1] == "Done"


def test_the_metrics_are_json_and_fit_each_other():
    labels = np.zeros((40, 50), np.int32)
    labels[5:15, 10:30] = 1
    labels[30, 40] = 2  # one pixel: without axes
    first, single = (metrics(row) for row in measure_table(labels, np.full((40, 50), 7, np.uint16)))
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert (first["bx"], first["by"], first["width"], first["height"]) == (10, 5, 20, 10)
    assert (first["x"], first["y"]) == (19.5, 9.5)
    assert first["area"] == first["bounding_box_area"] == 200
    assert first["extent"] == 1
    assert first["MeanValue"] == 7
    assert first["equivalent_diameter"] == pytest.approx(np.sqrt(4 * 200 / np.pi))
    assert "elongation" not in single or np.isfinite(single["elongation"])
    json.dumps(single, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "tls", "broker"),
    [("pi.local", False, Broker("pi.local", 1883)), ("10.0.0.2:99", False, Broker("10.0.0.2", 99)),
     ("pi", True, Broker("pi", 8883, True))],
)  # fmt: skip
def test_a_broker_is_a_host_and_perhaps_a_port(text: str, tls: bool, broker: Broker):
    assert parse_broker(text, tls=tls) == broker


@pytest.mark.parametrize("text", ["", ":1", "pi:", "pi:x", "pi:99999"])
def test_a_broker_that_is_none_is_refused(text: str):
    with pytest.raises(InputError, match="HOST:PORT"):
        parse_broker(text)


def test_a_folder_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is no folder"):
        MqttHost(None, tmp_path / "gone")  # type: ignore[arg-type]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def broker(tmp_path: Path, port: int) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts mosquitto; it may be started again."""
    pytest.importorskip("paho.mqtt.client")
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed; on Debian: apt install mosquitto")
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([MOSQUITTO, "-c", config], stderr=subprocess.DEVNULL))
        until(lambda: answers(port))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


@pytest.fixture
def serve(artifact_path: Path, images: Path, port: int) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the command `serve`."""
    command = [sys.executable, "-m", "runtime", "serve", str(artifact_path), "--folder", str(images)]
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [*command, "--broker", f"127.0.0.1:{port}"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


class Ear:
    """A client that hears everything below status/, and sends commands."""

    def __init__(self, port: int) -> None:
        mqtt = pytest.importorskip("paho.mqtt.client")
        self.published: list[tuple[str, Any]] = []
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        ready: list[bool] = []
        self.client.on_message = lambda _, __, m: self.published.append((m.topic, json.loads(m.payload)))
        self.client.on_connect = lambda client, *_: client.subscribe("status/#")
        self.client.on_subscribe = lambda *_: ready.append(True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: ready)

    def hears(self, status: str) -> None:
        until(lambda: status in statuses(self.published))

    def send(self, command: Any) -> None:
        self.client.publish("segmenter/segment", json.dumps(command), qos=1).wait_for_publish(10)

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.slow
def test_with_a_broker_a_command_becomes_objects_and_sigterm_is_a_farewell(broker, serve, images: Path, port: int):
    broker()
    with Ear(port) as ear:
        host = serve()
        ear.hears("Ready")
        ear.send({"action": "segment", "path": "deep"})
        ear.hears("Done")
        until(lambda: len([topic for topic, _ in ear.published if topic == "status/segmenter/metric"]) == 2)
        assert (images / "deep" / "c.tif-objects.csv").exists()
        host.send_signal(signal.SIGTERM)
        assert host.wait(20) == 0
        ear.hears("Dead")


@pytest.mark.slow
def test_a_host_that_is_killed_is_told_by_the_broker(broker, serve, port: int):
    broker()
    with Ear(port) as ear:
        host = serve()
        ear.hears("Ready")
        host.kill()
        ear.hears("Dead")


@pytest.mark.slow
def test_the_broker_may_come_later_and_be_restarted(broker, serve, port: int):
    host = serve()
    assert "serves" in host.stdout.readline()
    first = broker()
    with Ear(port) as ear:
        ear.hears("Ready")
    first.kill()
    first.wait()
    broker()
    with Ear(port) as ear:
        ear.hears("Ready")
        ear.send({"action": "segment"})
        ear.hears("Done")


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def until(holds: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
