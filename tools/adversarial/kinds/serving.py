"""A broker inside of the process that `serve` runs in: it sends one command, and ends the host when that is done."""

import json
import os
import signal
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

from runtime.hosts.mqtt import STATUS

FAILED = 1


class Client:
    """As much of paho's client as the host uses."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        self.on_connect = self.on_subscribe = self.on_connect_fail = self.on_message = _nothing

    def loop_start(self) -> None:
        """Connect, and send the command."""
        self.on_connect(self, None, None, types.SimpleNamespace(is_failure=False), None)

    def subscribe(self, topic: str, qos: int) -> None:
        """The host is ready for commands."""
        self.on_subscribe()
        self.on_message(self, None, types.SimpleNamespace(topic=topic, payload=json.dumps({"action": "segment"})))

    def publish(self, topic: str, text: str, qos: int = 0) -> Any:
        """Take a message of the host's; the one that ends the work ends the host."""
        status = json.loads(text).get("status", "") if topic == STATUS else ""
        if status == "Done":
            os.kill(os.getpid(), signal.SIGTERM)
        elif status.startswith("An exception"):
            sys.stderr.write(f"error: {status}\n")
            os._exit(FAILED)
        return types.SimpleNamespace(wait_for_publish=_nothing)

    def is_connected(self) -> bool:
        """Whether there is a broker."""
        return True

    connect_async = disconnect = loop_stop = will_set = reconnect_delay_set = lambda self, *_, **__: None


def replace_client() -> None:
    """Let the host of this process find this client in place of paho's."""
    for name in ("paho", "paho.mqtt", "paho.mqtt.client"):
        sys.modules[name] = module = types.ModuleType(name)
        module.__spec__, module.__path__ = ModuleSpec(name, None), []
    module.Client, module.CallbackAPIVersion = Client, types.SimpleNamespace(VERSION2=2)  # pyright: ignore


def _nothing(*_arguments: Any, **_options: Any) -> None:
    pass
