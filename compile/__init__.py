"""Lower a student to the devices in the lab, and prove that it still is what was trained.

Nothing else is imported here until it is asked for: `import compile` is free of torch. The runtime comes first, because
it keeps onnxruntime, which onnxsim imports, from reporting to its vendor.
"""

import runtime as _runtime  # noqa: F401

TYPE_CHECKING = False  # typing is not imported either
if TYPE_CHECKING:
    from typing import Any

    from compile.build import Outcome, compile_student

__all__ = ["Outcome", "compile_student"]


def __getattr__(name: str) -> "Any":
    if name in __all__:
        from compile import build

        return getattr(build, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
