"""A supervised loss: binary cross entropy of every output, times `strength`."""

from dataclasses import dataclass

from torch.nn.functional import binary_cross_entropy_with_logits


@dataclass(frozen=True)
class Wobble:
    name: str = "wobble"
    role: str = "supervised"
    kind: str = "classification"
    needs_instances: bool = False
    without_labels: bool = False
    strength: float = 1.0

    def __call__(self, batch):
        batch = batch.annotated()
        return self.strength * binary_cross_entropy_with_logits(batch.logits.float(), batch.target.float())


LOSS = Wobble()
