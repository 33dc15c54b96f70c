"""A student family: four small convolutions."""

from dataclasses import dataclass

from distill.students import StudentFamily


@dataclass(frozen=True)
class Pebble(StudentFamily):
    name: str = "pebble"
    stride: int = 2
    head_strides: tuple[int, ...] = (1,)

    def build(self, spec):
        from torch import nn

        def stage(inputs, outputs, step=1):
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride=step, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )

        class PebbleNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.encoder = nn.Sequential(stage(len(spec.channels), 8, 2), stage(8, 8))
                self.decoder = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), stage(8, 8))
                self.head = nn.Conv2d(8, len(spec.outputs), 3, padding=1)

            def forward(self, image):
                return self.head(self.decoder(self.encoder(image)))

        return PebbleNet()


STUDENT = Pebble()
