"""Run an artefact with `edgescope-runtime` and keep what came out; test_arm.py starts this for both machines.

replay.py ARTIFACT FRAME.npy OUT.npz
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np

from runtime.artifact.artifact import open_artifact
from runtime.segmenter import Segmenter

artifact, frame, out = (Path(word) for word in sys.argv[1:])
probes = open_artifact(artifact).probes()
with Segmenter.open(artifact) as segment:
    replayed = [segment.run_tile(tile[None]) for tile in probes.inputs]
    found = segment(np.load(frame, allow_pickle=False))
    described = segment.description
table = found.table()
objects = np.stack([table[name].astype(np.float64) for name in table.dtype.names])
np.savez(
    out,
    probes=np.concatenate(replayed),
    probability=found.probability,
    mask=found.mask,
    labels=found.labels(),
    objects=objects,
)
print(json.dumps({"machine": platform.machine(), "numpy": np.__version__, **described}))
