"""Generates federation/pb from proto/; with --check, says whether what is committed is fresh."""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROTO = ROOT / "proto"
GENERATED = ROOT / "federation" / "pb"
PACKAGE = "datalab.federation.v1"


def generate(folder: Path) -> None:
    """Write one ``*_pb2.py`` and ``*_pb2.pyi`` for each .proto file flat into ``folder``."""
    from grpc_tools import protoc

    sources = sorted(PROTO.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            "protoc",
            f"-I{PROTO}",
            f"--python_out={scratch}",
            f"--pyi_out={scratch}",
            *map(str, sources),
        ]
        if protoc.main(arguments) != 0:
            sys.exit("protoc failed")
        for made in sorted(Path(scratch).rglob("*_pb2.py*")):
            text = made.read_text(encoding="utf-8").replace(f"from {PACKAGE} import", "from federation.pb import")
            (folder / made.name).write_text(text, encoding="utf-8")
    (folder / "__init__.py").write_text(
        '"""Generated from proto/ by `make protos`; do not edit."""\n', encoding="utf-8"
    )


def main() -> None:
    """Generate, or compare a fresh generation with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the generated code is stale")
    if not parser.parse_args().check:
        shutil.rmtree(GENERATED, ignore_errors=True)
        GENERATED.mkdir(parents=True)
        generate(GENERATED)
        return
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        names = {path.name for folder in (fresh, GENERATED) for path in folder.glob("*.py*") if path.is_file()}
        _, changed, missing = filecmp.cmpfiles(fresh, GENERATED, sorted(names), shallow=False)
        if changed or missing:
            sys.exit(f"federation/pb is stale ({', '.join(changed + missing)}): run `make protos` and commit it.")


if __name__ == "__main__":
    main()
