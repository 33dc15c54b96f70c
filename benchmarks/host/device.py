"""What a figure was measured on: processor, instruction sets, memory, system and library versions.

No host name and no user name: a report is made to be passed on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.records import Record

BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


@dataclass(frozen=True)
class Detection(Record):
    """Something about the machine, and what gave it away."""

    name: str
    found_by: str


@dataclass(frozen=True)
class Clocks(Record):
    """The processor's clock in megahertz, and what rules it; None where the machine does not tell.

    governor : "performance", "powersave", "schedutil", ...; several, comma-separated, where cores differ
    now_mhz : the mean over the cores when the run began; under a hypervisor it may be the nominal clock
    """

    governor: str | None
    driver: str | None
    boost: bool | None
    min_mhz: float | None
    max_mhz: float | None
    now_mhz: float | None


@dataclass(frozen=True)
class Jetson(Record):
    """What decides the speed of a Jetson. nvpmodel : its power mode, e.g. "MAXN"; jetson_clocks : clocks are pinned."""

    l4t: str | None
    jetpack: str | None
    tensorrt: str | None
    nvpmodel: str | None
    jetson_clocks: bool | None


@dataclass(frozen=True)
class Constraint(Record):
    """How a run was held back to resemble a smaller machine, on this machine.

    profile : the name of the profile, or "custom"
    label : what stands beside every figure
    cores : those that the measuring processes could run on
    memory_limit_mb : of the private memory of each measuring process; None where there was no limit
    """

    profile: str
    label: str
    cores: tuple[int, ...]
    memory_limit_mb: int | None


@dataclass(frozen=True)
class Device(Record):
    """The machine that measured. What could not be found out is None, or empty.

    isa : the instruction sets that decide the speed of INT8 and BF16
    board : the model in the device tree, e.g. "Raspberry Pi 5 Model B Rev 1.0"
    cores, logical_cores : of the machine; usable_cores: those that this process may run on, listed in `affinity`
    quota_cores : how many cores' time a cgroup grants
    memory_limit_mb : what a cgroup grants of memory_mb
    numa : the cores of each node, e.g. ("0-15", "16-31")
    throttled : what the board's firmware says, e.g. ("under-voltage now",); empty: nothing; None: it says nothing
    versions, drivers : of Python libraries; of kernel modules and accelerators
    warnings : what makes its times worthless or doubtful, in words
    """

    cpu: str
    isa: tuple[str, ...]
    board: str | None
    cores: int
    logical_cores: int | None
    usable_cores: int
    affinity: tuple[int, ...]
    quota_cores: float | None
    clocks: Clocks | None
    memory_mb: int
    memory_limit_mb: int | None
    numa: tuple[str, ...]
    os: str
    distribution: str | None
    container: Detection | None
    virtual_machine: Detection | None
    on_battery: bool | None
    jetson: Jetson | None
    throttled: tuple[str, ...] | None
    python: str
    versions: Mapping[str, str]
    drivers: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def has_bf16(self) -> bool:
        """Whether the processor multiplies bfloat16 natively."""
        return not BF16.isdisjoint(self.isa)

    @property
    def id(self) -> str:
        """A name for this kind of machine: board or processor, usable cores, memory. Equal machines share it.

        Processors of one name with and without VNNI, whose INT8 differs several times in speed, do not."""
        words = re.sub(r"[^a-z0-9]+", "-", (self.board or self.cpu).lower()).strip("-")
        mode = f"-{self.jetson.nvpmodel.lower()}" if self.jetson and self.jetson.nvpmodel else ""
        slow_int8 = "-no-vnni" if "avx2" in self.isa and not any("vnni" in one for one in self.isa) else ""
        return f"{words}{mode}{slow_int8}-{self.usable_cores}c-{round(self.memory_mb / 1000)}g"
