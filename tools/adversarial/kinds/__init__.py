"""The kinds of tries, by the name that `--only` takes."""

from tools.adversarial.bench import Kind
from tools.adversarial.kinds import artifacts, images, kills, live, records, worlds

KINDS: dict[str, Kind] = {
    kind.name: kind for part in (artifacts, images, records, kills, worlds, live) for kind in part.KINDS
}
