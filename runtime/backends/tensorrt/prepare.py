"""The main flow: the engine of a bundle for this device, from the cache or built now, loaded and ready to run."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from ...errors import BackendFailed, EdgescopeError, InputError
from ...system.lock import in_turn
from ...system.progress import Progress
from . import builder, probe
from .api import Recipe, TensorRTModule, recipes
from .cache import SCHEMA, Cache, CachedEngine, Key, Sidecar
from .choice import choose
from .engine import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...artifact.artifact import Artifact
    from .choice import EngineCandidate
    from .cuda import Cuda
    from .probe import EngineDevice

log = logging.getLogger(__name__)

HINTS = ("auto", "int8", "fp16", "fp32")
LIMIT_S = 1800.0  # for one attempt; builds of networks of this size are reported to take one to ten minutes on Orin
WORK = "building-1"  # changed when engines are built in another way, so that old ones are built again


@dataclass(frozen=True, eq=False)
class EnginePlace:
    """Where engines are built and run: a device with its libraries, and the folder that keeps them."""

    device: EngineDevice
    cuda: Cuda
    trt: TensorRTModule
    cache: Cache

    @classmethod
    def of(cls, device: str | None, folder: Path) -> EnginePlace:
        """Look, CUDA first. InputError says what is missing, or that the folder cannot be used."""
        described, cuda, module = probe.look(device)
        return cls(described, cuda, TensorRTModule(module), Cache(folder))


@dataclass(frozen=True)
class Wish:
    """What is wanted of a bundle. hint : one of HINTS; again : build even where there is an engine already.

    retry : build even where that failed before, which is remembered, or every start would try for many minutes
    limit_s : for one attempt; tell : is called about twice a second while it is built
    """

    artifact: Artifact
    hint: str
    tell: Callable[[Progress], None]
    again: bool = False
    retry: bool = False
    limit_s: float = LIMIT_S


@dataclass(frozen=True, eq=False)
class Ready:
    """An engine that is loaded. built_because : why it was built now; None when it was in the cache."""

    runner: Runner
    sidecar: Sidecar
    path: Path
    built_because: str | None


def open_engine(place: EnginePlace, wish: Wish) -> Ready:
    """The engine, loaded; built before if need be, and once more if TensorRT does not take the one in the cache.

    InputError for a hint that the bundle has no network for; BackendFailed when this device cannot build or run one.
    """
    key, chosen = plan_work(place, wish)
    entry, because = _ready(place, wish, key, chosen)
    engine = place.trt.load(entry.plan)
    if engine is None and because is None:
        because = f"TensorRT does not load the engine in the cache ({place.trt.last_words()})"
        entry, because = _build_in_turn(place, wish, key, chosen, because, entry.sidecar)
        engine = place.trt.load(entry.plan)
    if engine is None:
        msg = f"TensorRT does not load the engine that it built here: {place.trt.last_words()}."
        raise BackendFailed(msg)
    try:
        runner = Runner(place.cuda, engine, place.device.number)
    except EdgescopeError as error:
        msg = f"The engine does not run here: {error}; close other programs, and try again."
        raise BackendFailed(msg) from error
    return Ready(runner, entry.sidecar, place.cache.engine(key), because)


def unprepared(place: EnginePlace, wish: Wish) -> str | None:
    """Why there is no engine to be loaded at once; None when there is one."""
    found = place.cache.find(plan_work(place, wish)[0])
    if isinstance(found, Sidecar):
        return found.why
    return None if isinstance(found, CachedEngine) else found


def plan_work(place: EnginePlace, wish: Wish) -> tuple[Key, tuple[Recipe, ...]]:
    """What would be built, and all that it depends on. InputError when the bundle has nothing for the hint."""
    manifest, files = wish.artifact.manifest, wish.artifact.manifest.files
    chosen = recipes(manifest.payload, strongly_typed=place.trt.strongly_typed, hint=wish.hint)
    if not chosen:
        known = recipes(manifest.payload, strongly_typed=place.trt.strongly_typed, hint="auto")
        msg = (
            f"{wish.artifact.path} has nothing for the precision hint {wish.hint}; it has "
            f"{', '.join(recipe.precision for recipe in known) or 'no network that this TensorRT reads'}, auto."
        )
        raise InputError(msg)
    device = place.device
    judged = f"{files[manifest.probes.file].sha256} {manifest.tolerance} {manifest.threshold}"
    key = Key(
        schema=SCHEMA,
        onnx={recipe.role: files[manifest.payload[recipe.role]].sha256 for recipe in chosen},
        judged_by=hashlib.sha256(judged.encode()).hexdigest(),
        tensorrt=device.tensorrt,
        driver=device.driver,
        runtime=device.runtime,
        l4t=device.l4t,
        sm=device.sm,
        device=device.name,
        machine=device.machine,
        options={"hint": wish.hint, "work": WORK, "workspace_mb": str(builder.WORKSPACE_MB)},
    )
    return key, chosen


def _ready(place: EnginePlace, wish: Wish, key: Key, chosen: tuple[Recipe, ...]) -> tuple[CachedEngine, str | None]:
    found = place.cache.find(key)
    if wish.again:
        because = "it was asked for again"
        return _build_in_turn(place, wish, key, chosen, because, _sidecar(found))
    if isinstance(found, str):
        return _build_in_turn(place, wish, key, chosen, found, None)
    if isinstance(found, Sidecar) and wish.retry:
        because = "it could not be built before"
        return _build_in_turn(place, wish, key, chosen, because, found)
    return _take(found, wish), None


def _build_in_turn(
    place: EnginePlace, wish: Wish, key: Key, chosen: tuple[Recipe, ...], because: str, known: Sidecar | None
) -> tuple[CachedEngine, str | None]:
    """Build while no other process does, and say why; what another one has built meanwhile is taken, for None.

    known : of what is in the cache and is not to be taken
    """

    def waiting(seconds: float) -> None:
        wish.tell(Progress("wait for another process that builds this engine", None, seconds, None))

    with in_turn(place.cache.engine(key), waiting, 4 * wish.limit_s):
        found = place.cache.find(key)
        if not isinstance(found, str) and _sidecar(found) != known:
            return _take(found, wish), None
        log.warning("an engine is built for %s, which takes minutes: %s", wish.artifact.manifest.student, because)
        return _build(place, wish, key, chosen), because


def _take(found: CachedEngine | Sidecar, wish: Wish) -> CachedEngine:
    """What is in the cache; BackendFailed where that is the word of a build that failed."""
    if isinstance(found, CachedEngine):
        return found
    msg = f"{found.why} That was {found.built}; try again with: python -m runtime prewarm {wish.artifact.path}"
    raise BackendFailed(msg)


def _sidecar(found: CachedEngine | Sidecar | str) -> Sidecar | None:
    if isinstance(found, CachedEngine):
        return found.sidecar
    return found if isinstance(found, Sidecar) else None


def _build(place: EnginePlace, wish: Wish, key: Key, chosen: tuple[Recipe, ...]) -> CachedEngine:
    """All candidates, the choice, and the cache. BackendFailed when none is good, which the cache remembers."""
    start = monotonic()
    integrated = place.device.integrated
    expected = place.cache.expected_s(key)
    found: list[EngineCandidate] = []
    with tempfile.TemporaryDirectory(prefix="engines-", dir=place.cache.folder) as folder:
        plans = {recipe.precision: Path(folder, f"{recipe.precision}.plan") for recipe in chosen}
        for recipe in chosen:
            job = builder.EngineJob(
                artifact=wish.artifact,
                device=f"CUDA:{place.device.number}",
                limit_s=wish.limit_s,
                expected_s=expected,
                available_mb=lambda: probe.available_mb(place.cuda, integrated=integrated),
                tell=wish.tell,
            )
            found.append(builder.build(job, recipe, plans[recipe.precision]))
            expected = expected or found[-1].spent_s
        choice = choose(found)
        plan = None if choice is None else plans[choice.kept.precision].read_bytes()
    sidecar = Sidecar(
        key=key,
        kept=None if choice is None else choice.kept.precision,
        why=_why_none(found) if choice is None else choice.reason,
        built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        build_s=round(monotonic() - start, 3),
        candidates=tuple(found),
        sha256="" if plan is None else hashlib.sha256(plan).hexdigest(),
        bytes=0 if plan is None else len(plan),
    )
    place.cache.store(sidecar, plan)
    if plan is None:
        raise BackendFailed(sidecar.why)
    log.warning("the engine is built, in %.0f s: %s", sidecar.build_s, sidecar.why)
    return CachedEngine(plan, sidecar)


def _why_none(found: list[EngineCandidate]) -> str:
    told = "; ".join(f"{one.precision}: {', then '.join(one.failures)}" for one in found)
    return f"No engine could be built on this device. {told}."
