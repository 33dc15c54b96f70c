# edgescope with everything that runs on a workstation's CPU: training, compiling, segmenting, measuring.
#   docker build -t edgescope .
#   docker run --rm -v "$PWD:/data" edgescope -m compile --target all --out /data/artifacts
# For a host that only segments, see examples/headless/Dockerfile, which needs no PyTorch.
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/edgescope
COPY requirements.lock .
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
COPY --from=build /opt/venv /opt/venv
RUN useradd --create-home --uid 1000 edgescope && mkdir /data && chown edgescope /data
USER edgescope
WORKDIR /data
ENTRYPOINT ["/opt/venv/bin/python"]
CMD ["-m", "runtime", "doctor"]
