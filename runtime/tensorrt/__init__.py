"""TensorRT on the device: engines are built, timed, proved and kept here, and run without torch and without pycuda.

prepare.py is the main flow. probe.py says what is there, api.py is the one code path over TensorRT 8.5 to 11,
builder.py starts the process that build.py is the inside of, choice.py decides between int8 and fp16, cache.py keeps
the result, engine.py runs it, and cuda.py is the little of libcudart that this takes.

None of this has ever run on a real Jetson, and the commands say so with NEVER_RUN.
"""

NEVER_RUN = (
    "TensorRT's backend has never run on a real Jetson: it is tested with a stand-in for the driver, and its building "
    "with TensorRT-RTX on a CPU"
)
