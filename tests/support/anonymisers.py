"""What pycanon measures and what anjana makes of tables: run by the Python of ``.peers``, JSON in and JSON out.

Each line of the standard input is a question, with ``rows`` (a list of records), ``quasi`` and ``sensitive``.
``measure`` asks for k, l and t of the table as it is; ``anonymise`` for the levels that anjana chooses under ``k``,
``l`` or ``t`` and ``loss`` (a share), by ``hierarchies``: of each quasi-identifier the rows' values at each level.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any


def main() -> None:
    """Answer each line with a line."""
    for line in sys.stdin:
        asked = json.loads(line)
        with contextlib.redirect_stdout(io.StringIO()):  # they print what they think of it
            answer = _measured(asked) if asked["what"] == "measure" else _anonymised(asked)
        print(json.dumps(answer), flush=True)


def _measured(asked: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd
    from pycanon import anonymity

    table = pd.DataFrame(asked["rows"])
    quasi, sensitive = asked["quasi"], asked["sensitive"]
    found: dict[str, Any] = {"k": int(anonymity.k_anonymity(table, quasi))}
    if sensitive:
        found["l"] = int(anonymity.l_diversity(table, quasi, [sensitive]))
        found["t"] = float(anonymity.t_closeness(table, quasi, [sensitive]))
    return found


def _anonymised(asked: dict[str, Any]) -> dict[str, Any]:
    import pandas as pd
    from anjana import anonymity
    from anjana.anonymity.utils import utils

    table, quasi = pd.DataFrame(asked["rows"]), asked["quasi"]
    hierarchies = {
        name: {level: pd.Series(values) for level, values in enumerate(levels)}
        for name, levels in asked["hierarchies"].items()
    }
    privacy = [asked["k"], 100 * asked["loss"], hierarchies]
    if "l" in asked:
        privacy.insert(1, asked["l"])
        made = anonymity.l_diversity(table, [], quasi, asked["sensitive"], *privacy)
    elif "t" in asked:
        privacy.insert(1, asked["t"])
        made = anonymity.t_closeness(table, [], quasi, asked["sensitive"], *privacy)
    else:
        made = anonymity.k_anonymity(table, [], quasi, *privacy)
    if made.empty:
        return {"levels": None}
    levels = utils.check_gen_level(made, quasi, hierarchies)
    return {
        "levels": {name: int(level) for name, level in levels.items()},
        "suppressed": len(table) - len(made),
        **_measured({"rows": made.to_dict("records"), "quasi": quasi, "sensitive": asked["sensitive"]}),
    }


if __name__ == "__main__":
    main()
