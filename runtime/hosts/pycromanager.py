"""pycro-manager: an image processing function that segments, and may decide what is acquired next.

    with PycroProcess("nuclei-fast-intel-int8", on_result=show) as process:
        with Acquisition("data", "cells", image_process_fn=process) as acquisition:
            acquisition.acquire(events)

pycro-manager runs the function in a thread of its own, so images queue up behind a slow model while the camera goes on.
Events that `decide` returns are queued; None among them ends the acquisition, which must then not be a `with` block,
as that ends it after the first events:

        acquisition = Acquisition("data", "cells", image_process_fn=process)
        acquisition.acquire(events)
        acquisition.await_completion()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    from ..frames.normalize import Frame
    from ..segmenter import Segmentation


class PycroProcess:
    """The function, of three arguments; give it as image_process_fn. Close it when the acquisition is over."""

    def __init__(
        self,
        artifact: str | Path,
        *,
        on_result: Callable[[Segmentation, Mapping[str, Any]], object] | None = None,
        decide: Callable[[Segmentation, Mapping[str, Any]], Iterable[Mapping[str, Any] | None] | None] | None = None,
        **options: Any,
    ) -> None:
        """Open the artefact.

        on_result : called with each segmentation and the image's metadata, which has its "Axes"
        decide : returns further events for these, or None; an event None ends the acquisition
        options : of Segmenter.open
        InputError when the artefact is damaged or cannot run here.
        """
        self._segment = Segmenter.open(artifact, **options)
        self._on_result, self._decide = on_result, decide

    def __call__(self, image: Frame, metadata: dict[str, Any], event_queue: Any) -> tuple[Frame, dict[str, Any]]:
        """Segment an image (H, W) and hand it on as it is. An exception ends the acquisition, and is its error."""
        result = self._segment(image, float(metadata.get("PixelSize_um") or 0) or None)
        if self._on_result is not None:
            self._on_result(result, metadata)
        for event in (self._decide(result, metadata) or ()) if self._decide else ():
            event_queue.put(event)
        return image, metadata

    def close(self) -> None:
        """Release the model."""
        self._segment.close()

    def __enter__(self) -> PycroProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
