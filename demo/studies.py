"""The studies that the demo runs: which sites, which data, what is predicted from what."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from federation.run import ConfigValue

CONTRACTS = Path(__file__).parents[1] / "pipelines" / "contracts"
APP = Path(__file__).parents[1] / "federation" / "apps" / "logistic"


@dataclass(frozen=True)
class Site:
    """A data holder.

    Attributes:
        name: of its node, and of its folder.
        dataset: id in the catalog.
        title: of the dataset.
        holder: the organisation.
        country: ISO 3166-1 alpha-2.
        contract: file name of its data contract.
        raw: name of the raw file as the holder exported it.
        provenance: where the data comes from.
        category: code of the category of health data (EHDS Art. 51(1)).
        shares: whether it gives its data to the lab, or keeps it.
    """

    name: str
    dataset: str
    title: str
    holder: str
    country: str
    contract: str
    raw: str
    provenance: str
    category: str
    shares: bool = False

    @property
    def kept_at(self) -> str:
        """``site`` or ``lab``."""
        return "lab" if self.shares else "site"

    @property
    def contract_path(self) -> Path:
        """The contract shipped with Datalab."""
        return CONTRACTS / self.contract


@dataclass(frozen=True)
class Study:
    """A question put to several sites' data."""

    name: str
    title: str
    outcome: str
    keywords: tuple[str, ...]
    sites: tuple[Site, ...]
    features: tuple[str, ...]
    log1p: tuple[str, ...] = ()
    settings: dict[str, ConfigValue] = field(default_factory=dict)

    def config(self, *, rounds: int, seed: int) -> dict[str, ConfigValue]:
        """Return the app's configuration for this study."""
        return {
            **self.settings,
            "features": ",".join(self.features),
            "log1p": ",".join(self.log1p),
            "outcome": "event",
            "num-server-rounds": rounds,
            "split-seed": seed,
        }


CANCER = Study(
    name="cancer",
    title="Breast cancer: recurrence or death within 1,096 days of surgery",
    outcome="recurrence or death within 1,096 days",
    keywords=("breast cancer", "survival", "recurrence"),
    sites=(
        Site(
            name="rotterdam",
            dataset="rotterdam-tumour-bank",
            title="Rotterdam tumour bank: primary breast cancer",
            holder="Erasmus MC Daniel den Hoed Cancer Center",
            country="NL",
            contract="rotterdam.odcs.yaml",
            raw="rotterdam.csv",
            provenance="Follow-up of patients after surgery for breast cancer, kept with the tumour bank's samples.",
            category="EINS",
        ),
        Site(
            name="gbsg",
            dataset="gbsg-trial",
            title="German Breast Cancer Study Group trial 2, node-positive patients",
            holder="German Breast Cancer Study Group",
            country="DE",
            contract="gbsg.odcs.yaml",
            raw="gbsg.csv",
            provenance="Case report forms of a multicentre trial.",
            category="EHCT",
            shares=True,
        ),
    ),
    features=(
        "age",
        "menopause",
        "size_class",
        "grade",
        "positive_nodes",
        "pgr",
        "er",
        "hormone_therapy",
    ),
    log1p=("positive_nodes", "pgr", "er"),
)

HEART = Study(
    name="heart",
    title="Heart disease: angiographic narrowing of a coronary vessel by more than half",
    outcome="angiographic heart disease",
    keywords=("heart disease", "angiography"),
    sites=(
        Site(
            name="cleveland",
            dataset="heart-cleveland",
            title="Heart disease, Cleveland",
            holder="Cleveland Clinic Foundation",
            country="US",
            contract="cleveland.odcs.yaml",
            raw="processed.cleveland.data",
            provenance="Records of patients who were referred for coronary angiography.",
            category="RQSH",
            shares=True,
        ),
        Site(
            name="budapest",
            dataset="heart-budapest",
            title="Heart disease, Budapest",
            holder="Hungarian Institute of Cardiology",
            country="HU",
            contract="hungarian.odcs.yaml",
            raw="processed.hungarian.data",
            provenance="Records of patients who were referred for coronary angiography.",
            category="RQSH",
        ),
        Site(
            name="switzerland",
            dataset="heart-switzerland",
            title="Heart disease, Zurich and Basel",
            holder="University Hospitals Zurich and Basel",
            country="CH",
            contract="switzerland.odcs.yaml",
            raw="processed.switzerland.data",
            provenance="Records of patients who were referred for coronary angiography.",
            category="RQSH",
        ),
        Site(
            name="long-beach",
            dataset="heart-long-beach",
            title="Heart disease, Long Beach",
            holder="V.A. Medical Center, Long Beach",
            country="US",
            contract="va.odcs.yaml",
            raw="processed.va.data",
            provenance="Records of patients who were referred for coronary angiography.",
            category="RQSH",
        ),
    ),
    features=(
        "age",
        "sex",
        "cp_2",
        "cp_3",
        "cp_4",
        "trestbps",
        "chol",
        "fbs",
        "restecg_1",
        "restecg_2",
        "thalach",
        "exang",
        "oldpeak",
    ),
)

STUDIES = {study.name: study for study in (CANCER, HEART)}
