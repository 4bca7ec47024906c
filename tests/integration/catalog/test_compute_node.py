"""A compute node of the lab has a copy of what it trains on: whoever is erased at the lab goes from that, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.client import lab_client
from catalog.erasure.records import ErasureDraft
from datalab.canonical import sha256_file
from datalab.errors import DatalabError
from datalab.home import Home
from datalab.storage.store import ObjectStore
from federation.node.config import load_config
from federation.node.holdings import hold_datasets, leave_out_again
from tests.integration.catalog.test_erasure import PERSON, request
from tests.unit.catalog.examples import draft


@pytest.mark.slow
def test_what_the_lab_erased_is_fetched_anew_before_a_run(
    catalog_home: Home, object_store: ObjectStore, tmp_path: Path
) -> None:
    name = "computed-atlas"
    node = Home(tmp_path / "node")
    (node.folder() / "node.toml").write_text(
        f'lab_home = "{catalog_home.path}"\n[[datasets]]\nid = "{name}"\nsource = "lab"\n', encoding="utf-8"
    )
    config = load_config(node.path)
    with lab_client(catalog_home, "operator") as client, lab_client(catalog_home, "pipeline") as pipeline:
        client.register_dataset(draft(id=name))
        pipeline.publish(name, request(object_store, tmp_path, name, f"{name}-1", rows=40))
        held = hold_datasets(node, config)
        table = Path(held[0].folder) / "data.parquet"
        assert (held[0].rows, PERSON.encode() in table.read_bytes()) == (41, True)
        before = table.stat().st_mtime_ns
        assert leave_out_again(node, config, held) is False
        assert table.stat().st_mtime_ns == before  # nothing is fetched twice

        client.erase(ErasureDraft(holder="gbsg", pseudonym=PERSON, reason="GDPR Art. 17"))
        leave_out_again(node, config, held)
        assert (held[0].rows, PERSON.encode() in table.read_bytes()) == (40, False)
        assert client.version(name, 1).files[0].sha256 == sha256_file(table)
    catalog_home.withdraw("lab")
    with pytest.raises(DatalabError, match="not running"):  # nobody knows: a new run is refused
        leave_out_again(node, config, held)
