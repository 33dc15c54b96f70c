"""How far a training is: one bar per phase in a terminal, one line per validation elsewhere.

Neither keeps a state, so that checkpoints do not know of them and a run can be resumed in another place.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    import lightning

log = logging.getLogger(__name__)

EVERY_S = 60.0
SHOWN = (("validation Dice", "val/dice"), ("loss", "train/loss"))


def progress(phase: str, steps: int) -> Callback:
    """The callback that suits where standard error goes."""
    return Bar(phase, steps) if Console(stderr=True).is_terminal else Lines(phase, steps)


class Lines(Callback):
    """Log where the phase stands after each validation, and once a minute between them."""

    def __init__(self, phase: str, steps: int) -> None:
        self.phase, self.steps = phase, steps
        self._told_s = monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step, where nothing was said for a minute."""
        if monotonic() - self._told_s >= EVERY_S:
            self.on_validation_end(trainer, pl_module)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The step, the Dice that was just measured, and the newest loss."""
        self._told_s = monotonic()
        log.info("%s: step %d of %d, %s", self.phase, trainer.global_step, self.steps, figures(trainer))


class Bar(Callback):
    """A bar over all steps of the phase, those of earlier runs included."""

    def __init__(self, phase: str, steps: int) -> None:
        text = TextColumn("{task.description:<6}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self.bar = Progress(*text, TextColumn("{task.fields[figures]}"), console=Console(stderr=True))
        self.task = self.bar.add_task(phase, total=steps, figures="")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin where the checkpoint ends."""
        self.bar.update(self.task, completed=trainer.global_step)
        self.bar.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """One step further."""
        self.bar.update(self.task, completed=trainer.global_step, figures=figures(trainer))

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the new Dice."""
        self.bar.update(self.task, figures=figures(trainer))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave the bar as it is."""
        self.bar.stop()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give the terminal back."""
        self.bar.stop()


def figures(trainer: lightning.Trainer) -> str:
    """The newest figures, as words."""
    found = trainer.callback_metrics
    return ", ".join(f"{name} {float(found[key]):.4f}" for name, key in SHOWN if key in found)
