"""Train students of a teacher with `fit`, and score them on labelled images with `evaluate`."""

import typer

from distill.commands.adapt import adapt
from distill.commands.evaluate import evaluate
from distill.commands.fit import fit
from distill.commands.gallery import gallery
from distill.commands.head import head
from distill.commands.init import init
from distill.commands.label import label
from distill.commands.schema import schema
from distill.commands.students import students
from distill.commands.study import study
from distill.commands.tune import tune
from runtime.commands.command_line import EPILOG, can_complete, epilog

EXAMPLES = {
    adapt: "adapt my-images --out runs/mine",
    tune: "tune nuclei-fast --data folder:my-images --out runs/tuned",
    init: "init --from nuclei-fast --data folder:my-images --out my.toml",
    fit: "fit my.toml --out runs/my-nuclei --set float.steps=3000",
    evaluate: "evaluate nuclei-fast --data synthetic:6@7",
    label: "label my.toml",
    head: "head configs/paper_tissuenet_sam_vit_h.toml --out runs/head",
    study: "study configs/study_synthetic.toml --seeds 3",
    gallery: "gallery nuclei-fast --data synthetic:20@7 --out gallery",
    students: "students",
    schema: "schema",
}

app = typer.Typer(add_completion=can_complete(), help=__doc__, epilog=EPILOG, rich_markup_mode=None)
for command, example in EXAMPLES.items():
    app.command(epilog=epilog(f"python -m distill {example}"))(command)
