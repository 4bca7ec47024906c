"""A run's cards as pages, Markdown and PDF, filled from the records; what these do not say is a gap."""

from __future__ import annotations

import io

import httpx
import pytest
from pypdf import PdfReader

from catalog.client import lab_client
from catalog.records import Role
from catalog.run_records import DatasetVersion, RunDraft, RunPatch, RunState
from datalab.home import Home
from tests.integration.catalog.conftest import Staging
from tests.support.pages import Person, signed_in, text_of
from tests.unit.catalog.examples import SHA, described, draft

HOLDER = "Universitätsklinikum Œdenburg-Süd"


@pytest.fixture(scope="module")
def run(catalog_home: Home, object_store: object, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run on a dataset that is described in full."""
    staging = Staging(object_store, tmp_path_factory.mktemp("cards"))  # type: ignore[arg-type]
    with lab_client(catalog_home, "operator") as operator, lab_client(catalog_home, "pipeline") as pipeline:
        operator.register_dataset(draft(id="described", holder_name=HOLDER, modality="tabular", **described()))
        pipeline.publish("described", staging.request("described", "one", rows=40))
    with lab_client(catalog_home, "runner") as runner:
        used = (DatasetVersion(dataset="described", version=1),)
        runner.create_run(RunDraft(id="run-card-1", app_digest=SHA, datasets=used, nodes=("compute",)))
        card = {"app": {"name": "trees", "version": "1.0.0", "config": {"depth": 3}}, "rounds": [{"loss": 0.25}]}
        for revision, patch in enumerate(
            (RunPatch(state=RunState.RUNNING), RunPatch(state=RunState.FINISHED, card=card)), start=1
        ):
            runner.update_run("run-card-1", patch, revision=revision)
    return "run-card-1"


def test_the_technical_documentation_follows_annex_iv_and_article_10_and_marks_gaps(
    run: str, catalog_home: Home, people: dict[Role, Person]
) -> None:
    with signed_in(catalog_home, people[Role.AUDITOR]) as http:
        text = text_of(http.get(f"/runs/{run}/documentation"))
        for point in (
            "Annex IV, 1: general description",
            "Annex IV, 2: elements and development process",
            "Article 10: data and data governance",
            "Annex IV, 7: standards applied",
            "Annex IV, 9: post-market monitoring",
        ):
            assert point in text
        assert "trees 1.0.0" in text
        assert f"Data holder {HOLDER}, " in text
        for gap in ("Intended purpose of the model", "Computational resources", "EU declaration of conformity"):
            assert f"{gap} Gap: not in the records" in text
        card = text_of(http.get(f"/runs/{run}/model-card"))
        assert "loss 0.25" in card
        assert http.get(f"/runs/{run}/model-card?as=markdown").text.startswith(f"# Model card: {run}")


def test_the_summary_of_training_content_has_its_three_parts_and_marks_gaps(
    run: str, catalog_home: Home, people: dict[Role, Person]
) -> None:
    with signed_in(catalog_home, people[Role.AUDITOR]) as http:
        text = text_of(http.get(f"/runs/{run}/training-content"))
        for part in ("Part 1, general information", "Part 2, list of data sources", "Part 3, data processing aspects"):
            assert part in text
        assert f"German Breast Cancer Study Group trial of {HOLDER}" in text
        assert "Latest date of the data 31 Dec 1989" in text
        for gap in ("Contact", "Synthetic data", "Removal of illegal content"):
            assert f"{gap} Gap: not in the records" in text
        markdown = http.get(f"/runs/{run}/training-content?as=markdown")
        assert "- Publicly available datasets: none on record" in markdown.text


@pytest.mark.parametrize(
    ("language", "name", "title"),
    [
        ("en", "model-card", "Model card"),
        ("de", "documentation", "Technische Dokumentation"),
        ("fr", "training-content", "Résumé du contenu"),
    ],
)
def test_a_card_as_pdf_has_every_letter_with_it(
    language: str, name: str, title: str, run: str, catalog_home: Home, people: dict[Role, Person]
) -> None:
    with signed_in(catalog_home, people[Role.AUDITOR], **{"Accept-Language": language}) as http:
        http.timeout = httpx.Timeout(60)  # the first one reads the letters
        answer = http.get(f"/runs/{run}/{name}?as=pdf")
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{run}-{name}.pdf"'
        assert answer.content == http.get(f"/runs/{run}/{name}?as=pdf").content
    pdf = PdfReader(io.BytesIO(answer.content))
    text = " ".join(" ".join(sheet.extract_text() for sheet in pdf.pages).split())
    assert title in text
    assert HOLDER in text
    fonts = [font.get_object() for sheet in pdf.pages for font in sheet["/Resources"]["/Font"].values()]  # type: ignore[index]
    assert fonts
    for font in fonts:  # embedded, none of them the reader's own
        assert "/FontFile2" in font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
