"""Commands that write, killed at random moments of their whole run: nothing half-made, and nothing left by the next."""

import signal
from functools import partial
from pathlib import Path

from numpy.random import Generator

from tools.adversarial.bench import EQUAL, Attempt, Killed, Kind, Setup, Wrong
from tools.adversarial.forks import LIMIT_S
from tools.adversarial.kinds.commands import COMMANDS, Bench

KILLS = 5  # in a row, before the run that ends


def _prepare(name: str, setup: Setup) -> Attempt:
    bench = Bench(name, setup)

    def attempt(dice: Generator, folder: Path, number: int) -> Killed:
        work = folder / "work"
        work.mkdir()
        for kills in range(KILLS + 1):
            is_done = bench.command.at_once and (work / bench.result).exists()
            if kills == KILLS or is_done:
                ended = bench.runner.run(work)
            elif dice.random() < 0.5:
                ended = bench.runner.run(work, kill_at=int(dice.integers(0, bench.whole.events)))
            else:
                ended = bench.runner.run(work, after_s=float(dice.uniform(0, bench.whole.seconds)))
            if ended.code == (bench.command.again if is_done else 0):
                break  # after earlier ones too little was left to do
            if ended.code != -signal.SIGKILL:
                msg = f"a run after {kills} kills ends with {ended.code}: {ended.said}"
                raise Wrong(msg)
            bench.check_part(work, complete=bench.command.at_once and (work / bench.result).exists())
        bench.check_end(work)
        return Killed(EQUAL, kills)

    return attempt


KINDS = tuple(
    Kind(f"kill-{name}", f"{KILLS} kills of {name} in a row, then a run that ends", partial(_prepare, name),
         share=0.02, limit_s=LIMIT_S, may_refuse=False, judges_memory=False)
    for name in COMMANDS
)  # fmt: skip
