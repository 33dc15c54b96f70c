"""Lower a student to what runs on the devices: TensorRT (jetson), OpenVINO (intel), TFLite (microscope)."""
