"""Curation from end to end: raw export in, harmonised Parquet, rejects and report out.

The stages can also be run one by one (the lab's pipeline does): ``validate``, ``check_deidentified`` where a file was
prepared, ``harmonise``, ``profile``, ``compile_report``. What passes between them lies in a work folder as Parquet.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from datalab.curation.anonymise import Deidentified, check_key, deidentify
from datalab.curation.contract import Contract
from datalab.curation.database import Limits
from datalab.curation.harmonise import DATA, UNMAPPED, Harmonisation, check_deidentified, harmonise
from datalab.curation.key import PseudonymKey
from datalab.curation.optout import OptOuts
from datalab.curation.profile import Profile, profile
from datalab.curation.report import Check, CurationReport
from datalab.curation.validate import REJECTS, VALIDATED, Validation, validate
from datalab.errors import BadInputError, DatalabError, NotWritableError
from datalab.home import write_atomically

__all__ = [
    "DATA",
    "REJECTS",
    "REPORT",
    "UNMAPPED",
    "VALIDATED",
    "Deidentified",
    "Harmonisation",
    "Limits",
    "Profile",
    "PseudonymKey",
    "Validation",
    "check_deidentified",
    "check_usable",
    "compile_report",
    "curate",
    "deidentify",
    "harmonise",
    "profile",
    "validate",
    "work_folder",
]

REPORT = "report.json"


def curate(
    contract: Contract,
    raw: Path,
    out: Path,
    *,
    prepared: bool = False,
    key: PseudonymKey | None = None,
    opt_outs: OptOuts | None = None,
    limits: Limits | None = None,
) -> CurationReport:
    """Curate one raw file into ``out/data.parquet``, with ``out/rejects.csv`` and ``out/report.json``.

    Where codes are mapped, ``out/unmapped.csv`` lists those that the contract has no other for.

    The rejects file is always written, with its header even when it is empty. A check that fails is told in the
    report and by ``CurationReport.passed``; it does not raise.

    Args:
        contract: what the file must be, and what becomes of it.
        raw: a plain CSV file.
        out: folder, made if it is missing; a file of an earlier curation is replaced.
        prepared: whether ``raw`` comes from ``prepare``; then k-anonymity is checked on what arrived.
        key: the holder's; with it, a raw file is de-identified as ``prepare`` would, and the table is the same, byte
            for byte, as that which a lab makes of the prepared file. Without it, a file stays as exact as it is; a
            contract with pseudonyms then cannot be carried out on a raw file.
        opt_outs: whose rows are left out.
        limits: memory and threads of DuckDB.

    Raises:
        NotFoundError: there is no raw file.
        BadInputError: no row of it can be used (rejects and report are written first, and no data), or it is no text.
        NotWritableError: ``out`` cannot be written to.
        DatalabError: the rows do not add up.
    """
    if not prepared:
        check_key(contract, key)
    with work_folder(out) as work:
        validation = validate(contract, raw, work, prepared=prepared, limits=limits)
        deidentified = check_deidentified(contract, work, limits=limits) if prepared else ()
        done = deidentify(contract, work, key=key, limits=limits) if key and not prepared else None
        harmonisation = harmonise(contract, work, opt_outs=opt_outs, deidentified=done, limits=limits)
        profiled = profile(contract, work, limits=limits)
        report = compile_report(contract, validation, deidentified, harmonisation, profiled)
        (work / REJECTS).replace(out / REJECTS)
        (out / UNMAPPED).unlink(missing_ok=True)
        if harmonisation.unmapped:
            (work / UNMAPPED).replace(out / UNMAPPED)
        if validation.unusable is None:
            (work / DATA).replace(out / DATA)
        else:
            (out / DATA).unlink(missing_ok=True)
        write_atomically(out / REPORT, (report.model_dump_json(indent=2) + "\n").encode())
    check_usable(validation, raw, out / REJECTS)
    return report


def compile_report(
    contract: Contract,
    validation: Validation,
    deidentified: tuple[Check, ...],
    harmonisation: Harmonisation,
    profiled: Profile,
) -> CurationReport:
    """Put the stages' results together, and check that every row is accounted for.

    Raises:
        DatalabError: rows were lost or made on the way; nothing that comes of it may be used.
    """
    accounted = harmonisation.rows + validation.rejected_rows + sum(harmonisation.excluded.values())
    if accounted != validation.rows_in:
        raise DatalabError(
            f"The raw file has {validation.rows_in} records, but {accounted} are accounted for.",
            where=f"contract {contract.id} {contract.version}",
            next_step="Do not use the result; keep the raw file and report this.",
        )
    accounting = Check(
        name="row accounting",
        passed=True,
        detail="Each record of the raw file is a row, rejected, or excluded for a stated reason.",
    )
    usable = Check(
        name="file usable",
        passed=validation.unusable is None,
        detail="The file has the columns that the contract requires, and no others that it forbids.",
        found=0 if validation.unusable is None else None,
    )
    return CurationReport(
        contract_id=contract.id,
        contract_version=contract.version,
        contract_digest=contract.digest,
        raw_sha256=validation.raw_sha256,
        rows_in=validation.rows_in,
        rows=harmonisation.rows,
        rejected_rows=validation.rejected_rows,
        excluded=dict(harmonisation.excluded),
        events=profiled.events,
        disclosure_threshold=contract.disclosure_threshold,
        checks=(usable, accounting, *deidentified, *profiled.checks),
        columns=profiled.columns,
        parquet_sha256=harmonisation.parquet_sha256,
        parquet_bytes=harmonisation.parquet_bytes,
        outcome=contract.harmonised.outcome,
        pseudonym=contract.harmonised.pseudonym,
        unmapped=dict(harmonisation.unmapped),
    )


def check_usable(validation: Validation, raw: Path, rejects: Path) -> None:
    """Raise BadInputError where no row of the raw file may be used; ``rejects`` is the file that says why."""
    if validation.unusable is not None:
        raise BadInputError(
            validation.unusable,
            where=f"{raw.name}, line 1" if validation.unusable.startswith("The file has") else raw.name,
            next_step=f"No row was used; what was found is in {rejects}.",
        )


@contextmanager
def work_folder(out: Path) -> Generator[Path]:
    """Yield a folder below ``out`` for what passes between the stages; it is removed at the end.

    Raises:
        NotWritableError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        work = Path(tempfile.mkdtemp(dir=out, prefix=".work-"))
    except OSError as error:
        raise NotWritableError(
            f"Cannot write to the folder {out}: {error.strerror}.", next_step="Name one that you may write to."
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work)
