"""Settings of a machine that make its times unreliable, found before anything is measured: power modes, throttling."""

from collections.abc import Iterator

from benchmarks.host.device import Device, Jetson

ADAPTIVE = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")  # whose "powersave" still clocks up under load
SLOW = ("powersave", "conservative")


def warnings_of(device: Device) -> tuple[str, ...]:
    """A sentence for each, with what to do about it."""
    return tuple(
        reason for check in (_governor, _battery, _jetson, _throttled, _quota, _numa) for reason in check(device)
    )


def _governor(device: Device) -> Iterator[str]:
    clocks = device.clocks
    slow = [name for name in SLOW if clocks and name in (clocks.governor or "").split(", ")]
    if not clocks or not slow:
        return
    if clocks.driver in ADAPTIVE:
        yield (
            f"the governor is {slow[0]} ({clocks.driver}): clocks rise with the load, first frames are slow; "
            "for repeatable times: cpupower frequency-set -g performance"
        )
    else:
        yield (
            f"the governor is {slow[0]}: the processor runs at its lowest clock, so the times are not usable; "
            "run: cpupower frequency-set -g performance"
        )


def _battery(device: Device) -> Iterator[str]:
    if device.on_battery:
        yield "the machine runs on its battery, which slows it down; plug it in"


def _jetson(device: Device) -> Iterator[str]:
    jetson = device.jetson or Jetson(None, None, None, None, None)
    if jetson.nvpmodel and not jetson.nvpmodel.upper().startswith("MAXN"):
        yield f"the Jetson is in the power mode {jetson.nvpmodel}, not in MAXN; its times hold only for this mode"
    if jetson.jetson_clocks is False:
        yield "the Jetson's clocks are not pinned; for repeatable times: sudo jetson_clocks"


def _throttled(device: Device) -> Iterator[str]:
    now = [flag for flag in device.throttled or () if flag.endswith(" now")]
    before = [flag for flag in device.throttled or () if not flag.endswith(" now")]
    if now:
        yield f"the firmware throttles the board: {', '.join(now)}; the times are not usable"
    elif before:
        yield f"the firmware has throttled the board before: {', '.join(before)}; check power supply and cooling"


def _quota(device: Device) -> Iterator[str]:
    if device.quota_cores is not None and device.quota_cores < device.usable_cores:
        yield (
            f"a cgroup limits this process to the time of {device.quota_cores:g} of {device.usable_cores} cores: with "
            "more threads it is paused in each period, which gives high percentiles"
        )


def _numa(device: Device) -> Iterator[str]:
    if len(device.numa) > 1:
        yield (
            f"memory is on {len(device.numa)} NUMA nodes, and threads may use distant memory; "
            "to pin them: numactl --cpunodebind=0 --membind=0"
        )
