"""What the system tells about the machine, read from its files alone, so that any recorded tree of them can be read.

`root` is the folder that stands for "/". What is not there, cannot be read or makes no sense is None or empty.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.host.device import Clocks, Detection, Jetson

ROOT = Path("/")
CPUS = "sys/devices/system/cpu"
UNKNOWN = "unknown"
NO_LIMIT_MB = 10**9  # cgroup version 1 writes a huge number for "no limit"
HYPERVISORS = {  # what the vendor or product in the DMI table contains
    "kvm": "kvm",
    "qemu": "qemu",
    "vmware": "vmware",
    "virtualbox": "virtualbox",
    "hyper-v": "hyperv",
    "virtual machine": "hyperv",
    "xen": "xen",
    "parallels": "parallels",
    "amazon ec2": "amazon",
    "google compute engine": "google",
    "openstack": "openstack",
    "droplet": "digitalocean",
}
CONTAINERS = ("docker", "podman", "lxc", "kubepods", "containerd", "crio", "libpod")
FIRMWARE_FLAGS = {  # of a Raspberry Pi: get_throttled
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
L4T = re.compile(r"# R(\d+) \(release\), REVISION: ([\d.]+)")
JETPACKS = {
    "36.4": "6.1 or 6.2",
    "36.3": "6.0",
    "35.6": "5.1.4 or 5.1.5",
    "35.5": "5.1.3",
    "35.4": "5.1.2",
    "32.7": "4.6.x",
}


@dataclass(frozen=True)
class Machine:
    """The files below `root`."""

    root: Path = ROOT

    def text(self, path: str) -> str | None:
        """A file's text without surrounding space and NUL; None where it cannot be read, or is empty."""
        try:
            text = (self.root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return text.strip().strip("\0").strip() or None

    def number(self, path: str) -> float | None:
        """A file's one number."""
        text = self.text(path)
        try:
            return None if text is None else float(text)
        except ValueError:
            return None

    def glob(self, pattern: str) -> list[Path]:
        """Paths below the root, sorted, with numbers in their natural order."""
        try:
            paths = list(self.root.glob(pattern))
        except OSError:
            return []
        return sorted(paths, key=lambda path: [int(part) if part.isdigit() else part for part in _split(str(path))])

    def relative(self, path: Path) -> str:
        """The path from the root."""
        return path.relative_to(self.root).as_posix()

    def cpuinfo(self) -> dict[str, str]:
        """The fields of the first processor in /proc/cpuinfo, and of the board below it; nothing elsewhere."""
        fields: dict[str, str] = {}
        for line in (self.text("proc/cpuinfo") or "").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
        return fields

    def board(self) -> str | None:
        """The model in the device tree, of an ARM board."""
        return self.text("proc/device-tree/model") or self.text("sys/firmware/devicetree/base/model")

    def distribution(self) -> str | None:
        """The name and version of the Linux distribution."""
        text = self.text("etc/os-release") or self.text("usr/lib/os-release") or ""
        match = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
        return match[1] if match else None

    def clocks(self) -> Clocks | None:
        """The governor, the limits and the mean of the clocks now; None where the machine tells none of them."""
        cores = self.glob(f"{CPUS}/cpu[0-9]*/cpufreq") or self.glob(f"{CPUS}/cpufreq/policy[0-9]*")
        governors = {name for core in cores if (name := self.text(f"{self.relative(core)}/scaling_governor"))}
        drivers = {name for core in cores if (name := self.text(f"{self.relative(core)}/scaling_driver"))}
        lowest = [mhz for core in cores if (mhz := self._khz(core, "scaling_min_freq")) is not None]
        highest = [mhz for core in cores if (mhz := self._khz(core, "scaling_max_freq")) is not None]
        clocks = Clocks(
            governor=", ".join(sorted(governors)) or None,
            driver=", ".join(sorted(drivers)) or None,
            boost=self._boost(),
            min_mhz=min(lowest, default=None),
            max_mhz=max(highest, default=None),
            now_mhz=self.clock_mhz(),
        )
        return None if clocks == Clocks(None, None, None, None, None, None) else clocks

    def clock_mhz(self) -> float | None:
        """The mean clock of all cores now."""
        cores = self.glob(f"{CPUS}/cpu[0-9]*/cpufreq") or self.glob(f"{CPUS}/cpufreq/policy[0-9]*")
        now = [mhz for core in cores if (mhz := self._khz(core, "scaling_cur_freq")) is not None]
        if not now:
            now = [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", self.text("proc/cpuinfo") or "", re.M)]
        return fmean(now) if now else None

    def numa(self) -> tuple[str, ...]:
        """The cores of each node."""
        lists = (self.text(self.relative(path)) for path in self.glob("sys/devices/system/node/node[0-9]*/cpulist"))
        return tuple(cores for cores in lists if cores)

    def quota_cores(self) -> float | None:
        """How many cores' time cgroups of version 2 or 1 grant, the strictest of them; None: no limit."""
        quotas: list[float] = []
        for folder in self._cgroups("cpu"):
            words = (self.text(f"{folder}/cpu.max") or "").split()
            quota, period = self.number(f"{folder}/cpu.cfs_quota_us"), self.number(f"{folder}/cpu.cfs_period_us")
            if len(words) == 2 and words[0] != "max":
                quota, period = float(words[0]), float(words[1])
            if quota is not None and quota > 0 and period:
                quotas.append(quota / period)
        return min(quotas, default=None)

    def memory_limit_mb(self) -> int | None:
        """What memory cgroups grant, the strictest of them; None: no limit."""
        names = ("memory.max", "memory.limit_in_bytes")
        texts = [self.text(f"{folder}/{name}") or "" for folder in self._cgroups("memory") for name in names]
        limits = [int(text) // 10**6 for text in texts if text.isdigit()]
        return min((limit for limit in limits if limit < NO_LIMIT_MB), default=None)

    def container(self) -> Detection | None:
        """Whether this is a container, and what gave it away."""
        for marker, name in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
            if (self.root / marker).exists():
                return Detection(name, f"/{marker}")
        if name := self.text("run/systemd/container"):
            return Detection(name, "/run/systemd/container")
        groups = self.text("proc/1/cgroup") or ""
        return next((Detection(name, "/proc/1/cgroup") for name in CONTAINERS if name in groups), None)

    def virtual_machine(self) -> Detection | None:
        """Whether this is a virtual machine, and what gave it away."""
        if "Microsoft" in (version := self.text("proc/version") or "") or "WSL" in version:
            return Detection("wsl", "/proc/version")
        for name in ("sys_vendor", "product_name"):
            text = (self.text(f"sys/class/dmi/id/{name}") or "").lower()
            for part, hypervisor in HYPERVISORS.items():
                if part in text:
                    return Detection(hypervisor, f"/sys/class/dmi/id/{name}")
        if kind := self.text("sys/hypervisor/type"):
            return Detection(kind, "/sys/hypervisor/type")
        if "hypervisor" in self.cpuinfo().get("flags", "").split():
            return Detection(UNKNOWN, "the flag hypervisor in /proc/cpuinfo")
        return None

    def on_battery(self) -> bool | None:
        """Whether no mains adapter is online; None where there is no power supply to ask."""
        supplies = [self.relative(path) for path in self.glob("sys/class/power_supply/*")]
        mains = [path for path in supplies if self.text(f"{path}/type") in ("Mains", "USB")]
        batteries = [path for path in supplies if self.text(f"{path}/type") == "Battery"]
        states = [self.number(f"{path}/online") for path in mains]
        if any(states):
            return False
        of_the_machine = [path for path in batteries if self.text(f"{path}/scope") != "Device"]  # not of a mouse
        if of_the_machine:
            return any(self.text(f"{path}/status") == "Discharging" for path in of_the_machine)
        return None if not supplies else False

    def jetson(self) -> Jetson | None:
        """What decides the speed of a Jetson; None elsewhere."""
        release = self.text("etc/nv_tegra_release")
        if release is None:
            return None
        match = L4T.match(release)
        l4t = f"{match[1]}.{match[2]}" if match else None
        return Jetson(l4t, self._jetpack(l4t), self._package(r"libnvinfer\d*"), self._nvpmodel(), self._jetson_clocks())

    def throttled(self) -> tuple[str, ...] | None:
        """What a Raspberry Pi's firmware says about its power and temperature; None elsewhere."""
        for path in self.glob("sys/devices/platform/soc*/soc*firmware/get_throttled"):
            if text := self.text(self.relative(path)):
                return firmware_flags(text)
        return None

    def module_versions(self) -> dict[str, str]:
        """Versions of the kernel's modules that drive an accelerator."""
        names = ("nvidia", "i915", "xe", "intel_vpu", "amdgpu")
        return {name: version for name in names if (version := self.text(f"sys/module/{name}/version"))}

    def _khz(self, core: Path, name: str) -> float | None:
        khz = self.number(f"{self.relative(core)}/{name}")
        return None if khz is None else khz / 1000

    def _boost(self) -> bool | None:
        if (off := self.number(f"{CPUS}/intel_pstate/no_turbo")) is not None:
            return not off
        on = self.number(f"{CPUS}/cpufreq/boost")
        return None if on is None else bool(on)

    def _cgroups(self, controller: str) -> Iterator[str]:
        """Folders that may limit this process, of both versions: its own group's, and those above it."""
        own = {"": "", controller: ""}
        for line in (self.text("proc/self/cgroup") or "").splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            for name in own.keys() & set(controllers.split(",")):
                own[name] = path.strip("/")
        for base, path in (("sys/fs/cgroup", own[""]), (f"sys/fs/cgroup/{controller}", own[controller])):
            parts = path.split("/") if path else []
            for depth in range(len(parts), -1, -1):
                yield "/".join((base, *parts[:depth]))

    def _jetpack(self, l4t: str | None) -> str | None:
        """Of the package, else what NVIDIA's table says about this release of L4T."""
        listed = next((pack for start, pack in JETPACKS.items() if l4t and l4t.startswith(start)), None)
        return self._package("nvidia-jetpack") or listed

    def _package(self, name: str) -> str | None:
        """The version of a Debian package; name: a regular expression."""
        status = self.text("var/lib/dpkg/status") or ""
        match = re.search(rf"^Package: {name}\n(?:\S.*\n| .*\n)*?Version: ([^\n]+)", status, re.MULTILINE)
        return match[1] if match else None

    def _nvpmodel(self) -> str | None:
        """The name of the power mode, by its number."""
        number = re.search(r"pmode:(\d+)", self.text("var/lib/nvpmodel/status") or "")
        if number is None:
            return None
        models = self.text("etc/nvpmodel.conf") or ""
        match = re.search(rf"^< POWER_MODEL ID={int(number[1])} NAME=(\S+) >", models, re.MULTILINE)
        return match[1] if match else f"mode {int(number[1])}"

    def _jetson_clocks(self) -> bool | None:
        """jetson_clocks raises every core's lowest clock to its highest."""
        clocks = self.clocks()
        if clocks is None or clocks.min_mhz is None or clocks.max_mhz is None:
            return None
        return clocks.min_mhz >= clocks.max_mhz


def firmware_flags(text: str) -> tuple[str, ...] | None:
    """The words for a Raspberry Pi's bits: "throttled=0x50000", or the bare hexadecimal number of /sys."""
    match = re.fullmatch(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]+)", text.strip())
    if match is None:
        return None
    bits = int(match[1], 16)
    return tuple(words for bit, words in FIRMWARE_FLAGS.items() if bits >> bit & 1)


def _split(path: str) -> list[str]:
    return re.split(r"(\d+)", path)
