"""A changed contract makes a new version of a dataset only if its own number says what kind of change it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalab.canonical import sha256_file
from datalab.errors import BadInputError
from datalab.home import Home
from pipelines.sources import BUILT_IN
from pipelines.succession import check_succession, keep_contract
from tests.unit.catalog.examples import draft
from tests.unit.catalog.examples import version as example

TEXT = (BUILT_IN / "eurostat-deaths.odcs.yaml").read_text(encoding="utf-8").replace("id: eurostat", "id: our-eurostat")


def written(folder: Path, version: str = "1.0.0", old: str = "", new: str = "") -> Path:
    path = folder / "ours.odcs.yaml"
    path.write_text(TEXT.replace("version: 1.0.0", f"version: {version}").replace(old, new, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("version", "old", "new", "said"),
    [
        ("1.0.0", "", "", ""),
        ("1.0.0", "value: 10", "value: 11", "its version has not risen"),
        ("1.1.0", "value: 10", "value: 11", ""),
        ("1.1.0", "value: 10", "value: 5", "needs a new major version"),
        ("2.0.0", "value: 10", "value: 5", ""),
        ("1.0.0", "schema:", "# a comment\nschema:", "is not the one that version 1 was made with"),
    ],
)
def test_the_number_says_the_kind_of_change(tmp_path: Path, version: str, old: str, new: str, said: str) -> None:
    home = Home(tmp_path)
    before = written(tmp_path)
    keep_contract(home, before)
    report = example(draft()).report.model_copy(
        update={
            "contract_id": "our-eurostat-hlth-cd-asdr2",
            "contract_version": "1.0.0",
            "contract_digest": sha256_file(before),
        }
    )
    versions = [example(draft()).model_copy(update={"report": report, "number": 1})]
    after = written(tmp_path, version, old, new)
    if not said:
        check_succession(home, after, versions)
        return
    with pytest.raises(BadInputError, match=said):
        check_succession(home, after, versions)


def test_a_contract_that_is_not_known_any_more_needs_another_number(tmp_path: Path) -> None:
    report = example(draft()).report.model_copy(
        update={"contract_id": "our-eurostat-hlth-cd-asdr2", "contract_version": "1.0.0", "contract_digest": "0" * 64}
    )
    versions = [example(draft()).model_copy(update={"report": report})]
    with pytest.raises(BadInputError, match="was made with"):
        check_succession(Home(tmp_path), written(tmp_path), versions)
    check_succession(Home(tmp_path), written(tmp_path, "1.0.1"), versions)
