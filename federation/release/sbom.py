"""The bill of materials of a bundle: CycloneDX 1.6, JSON."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from federation.release.closure import Locked


def bill_of_materials(own: Locked, packages: Iterable[Locked], checksums: Mapping[str, str]) -> str:
    """Return the bill of materials of a node.

    It has no date, and its serial number follows from the checksums: the same wheels give the same bytes.

    Args:
        own: Datalab itself.
        packages: all others.
        checksums: SHA-256 of each package's wheel, by package name.
    """
    others = {one.name: _component(one, ComponentType.LIBRARY, checksums) for one in packages}
    root = _component(own, ComponentType.APPLICATION, checksums)
    serial = uuid.uuid5(uuid.NAMESPACE_OID, "\n".join(f"{name} {checksums[name]}" for name in sorted(checksums)))
    bom = Bom(components=others.values(), serial_number=serial, metadata=BomMetaData(component=root))
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.register_dependency(root, [others[name] for name in own.requires])
    for one in packages:
        bom.register_dependency(others[one.name], [others[name] for name in one.requires])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _component(package: Locked, kind: ComponentType, checksums: Mapping[str, str]) -> Component:
    purl = PackageURL("pypi", None, package.name, package.version)
    licences = [] if package.licence is None else [LicenseFactory().make_from_string(package.licence)]
    return Component(
        type=kind,
        name=package.name,
        version=package.version,
        bom_ref=purl.to_string(),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksums[package.name])],
        licenses=licences,
    )
