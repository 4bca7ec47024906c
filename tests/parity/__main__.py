"""Whether apps end with the same parameters here and on Flower's own engine: ``python -m tests.parity --json``.

One app (``tests/apps/strategies``) trains with each of Flower's strategies on three unequal sites, with all of them and
with two of them a round: on a SuperLink with SuperNodes, started by Flower's own commands, and here. What differs
between the engines, node ids and the order of replies, is aligned by ``AlignedGrid``. The ``DifferentialPrivacy…``
wrappers, with the mods that they need at their clients, clip and add no noise: it is secret, and another each time.

FedXgbCyclic is compared with all sites only. It asks one node a round, in turn, and its constructor raises ValueError
for any ``fraction_train`` but 0 and 1 (Flower 1.41; ``tests/integration/parity`` holds it to that).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from datalab.supervisor import Supervisor
from tests.perf import flower
from tests.support.federation import ROOT, Federation

APP = ROOT / "tests" / "apps" / "strategies"
SITES = ("arnhem", "breda", "chaam")


def on_datalab(folder: Path, config: dict[str, Any]) -> Path:
    """Run the app on Datalab, and return the folder with what it has saved."""
    with Supervisor() as supervisor:
        federation = Federation(folder, supervisor)
        for name in SITES:
            federation.add_node(name, apps=(APP,))
        federation.wait_for(*SITES)
        return federation.run(SITES, app=APP, config=config).artifacts


def on_flower(folder: Path, config: dict[str, Any]) -> Path:
    """Run the app on Flower's own engine, and return the folder with what it has saved."""
    out = folder / "saved"
    out.mkdir(parents=True)
    flower.run(APP, {**config, "out": str(out)}, [f'site="{name}"' for name in SITES], folder)
    return out


def compare(ours: Path, theirs: Path) -> dict[str, dict[str, Any]]:
    """Return for each strategy, and each fraction, whether the parameters are equal bit for bit."""
    import numpy as np

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(theirs.glob("*.npz")):
        name, _, fraction = path.stem.partition("-")
        with np.load(path) as flowers, np.load(ours / path.name) as own:
            equal = flowers.files == own.files and all(
                flowers[key].dtype == own[key].dtype and flowers[key].tobytes() == own[key].tobytes()
                for key in flowers.files
            )
        of = found.setdefault(name, {"equal": True, "fractions": {}})
        of["fractions"][fraction] = equal
        of["equal"] = of["equal"] and equal
    return found


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="names of strategies; all of them without it")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    config = {"sites": " ".join(SITES), "only": " ".join(arguments.only), "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory() as folder:
        found = compare(on_datalab(Path(folder, "datalab"), config), on_flower(Path(folder, "flower"), config))
    equal = sum(one["equal"] for one in found.values())
    result = {"equal": equal, "of": len(found), "strategies": found}
    print(json.dumps(result, indent=2) if arguments.json else result)
    sys.exit(equal < len(found) or not found)


if __name__ == "__main__":
    main()
