"""`--device`: the Jetson boards, from NVIDIA's data sheets and JetPack's release notes."""

from __future__ import annotations

from dataclasses import dataclass

JETPACK = "JetPack 6.2: TensorRT 10.3, CUDA 12.6; JetPack 7.2: TensorRT 10.16 or 11.4, CUDA 13"


@dataclass(frozen=True)
class Sheet:
    """A board's data sheet. words : all stand in what the board calls itself; memory_gb : of the smallest one sold."""

    words: tuple[str, ...]
    sm: str
    memory_gb: int
    software: str
    compute: str
    int8_pays: bool


ORIN = "its tensor cores do twice as many int8 as fp16 operations"
SHEETS = {
    "orin-nano": Sheet(("Orin", "Nano"), "8.7", 8, JETPACK, f"67 TOPS (sparse int8, in Super mode); {ORIN}", True),
    "orin-nx": Sheet(("Orin", "NX"), "8.7", 8, JETPACK, f"117 to 157 TOPS (sparse int8, in Super mode); {ORIN}", True),
    "agx-orin": Sheet(("AGX", "Orin"), "8.7", 32, JETPACK, f"200 to 275 TOPS (sparse int8); {ORIN}", True),
    "thor": Sheet(
        ("Thor",),
        "11.0",
        64,
        "JetPack 7.0: TensorRT 10.13, CUDA 13.0; JetPack 7.2: TensorRT 10.16 or 11.4, CUDA 13",
        "built for fp8 and fp4; networks in int8 were reported to be 5 to 10 % faster there than in fp16",
        False,
    ),
}
