"""A metric: the smaller of the two foreground areas over the larger one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AreaRatio:
    name: str = "area_ratio"
    title: str = "area ratio"
    definition: str = "Area ratio: the smaller foreground over the larger one, in pixels; 1 where both are empty"
    better: str = "higher"
    decimals: int = 3
    unit: str = ""
    objects: bool = False

    def parts(self, image):
        return float(image.predicted.sum()), float(image.expected.sum())

    def of_image(self, parts):
        return min(parts) / max(parts) if max(parts) else 1.0

    def pooled(self, sums):
        return self.of_image(sums)


METRIC = AreaRatio()
