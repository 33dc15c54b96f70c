"""Lightning and torch without their chatter: tips, what hardware is absent, warnings a user can do nothing about."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "torch.export", "torch._dynamo")
MODULES = r"(lightning|torch|torchmetrics|timm|segmentation_models_pytorch|tensorboard)(\.|$)"


@contextmanager
def quiet() -> Generator[None]:
    """Within this block the trainer's libraries log errors alone, and their warnings are not shown."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=MODULES)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
