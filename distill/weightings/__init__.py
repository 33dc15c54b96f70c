"""How several losses become one: one file each, and the file's name is the weighting's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runtime.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from distill.losses import Kind


class Weighting(Protocol):
    """What a file of this folder offers as ``WEIGHTING``."""

    @property
    def name(self) -> str:
        """The file's name."""
        ...

    def build(self, terms: Mapping[str, Kind], weights: Mapping[str, float] | None = None) -> nn.Module:
        """A module for the losses in ``terms``, each with its kind.

        weights : the factors to start with, by term; 1 for a term that is not named
        InputError for a weight of a term that does not exist, or one that this weighting cannot have.

        The module offers
        - forward(losses: dict[str, Tensor]) -> Tensor: the total. A term may be left out of a step (no crop of it was
          labelled): then neither its loss nor its weight counts. InputError for a term that the module does not know.
        - weights() -> dict[str, float]: the factor that each term is multiplied with now, for the log.
        - parameters(): what is learnt, to be put into a group without weight decay, which would pull every term
          towards a weight of its own.
        """
        ...


REGISTRY: Registry[Weighting] = Registry("weightings", __name__, "WEIGHTING")

names, load = REGISTRY.names, REGISTRY.load
