"""Train small students of a teacher, quantised for the device: data, teachers, students, losses, training.

Nothing is imported here until it is asked for: `import distill` is free of torch, for everyone who only reads data.
"""

TYPE_CHECKING = False  # typing is not imported either
if TYPE_CHECKING:
    from typing import Any

    from distill.config.sections import Config
    from distill.evaluation.evaluate import evaluate
    from distill.settings import load as load_config
    from distill.student.student import Student
    from distill.student.student import load as load_student
    from distill.studies.flow import study
    from distill.teaching.label import label
    from distill.training.train import fit

__all__ = ["Config", "Student", "evaluate", "fit", "label", "load_config", "load_student", "study"]

PLACES = {
    "Config": ("distill.config.sections", "Config"),
    "Student": ("distill.student.student", "Student"),
    "evaluate": ("distill.evaluation.evaluate", "evaluate"),
    "fit": ("distill.training.train", "fit"),
    "label": ("distill.teaching.label", "label"),
    "load_config": ("distill.settings", "load"),
    "load_student": ("distill.student.student", "load"),
    "study": ("distill.studies.flow", "study"),
}


def __getattr__(name: str) -> "Any":
    if name in PLACES:
        from importlib import import_module

        module, attribute = PLACES[name]
        return getattr(import_module(module), attribute)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
