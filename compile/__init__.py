"""Lower a student to the artefacts that run on the devices: TensorRT (jetson), OpenVINO (intel), TFLite (microscope)."""
