"""Reading an Open Data Contract Standard (ODCS) file: YAML with line numbers, valid by the standard's JSON Schema.

The schema is the one that the package ``open-data-contract-standard`` carries. Its Python models are not used: they let
misspelt keys vanish.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datalab.canonical import sha256_hex
from datalab.errors import BadInputError, NotFoundError, NotInstalledError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Key = str | int
PREFIX = "datalab."


@dataclass(frozen=True)
class Document:
    """A valid contract file: its content, and the line that each part of it starts on."""

    path: Path
    digest: str
    data: dict[str, Any]
    _lines: dict[tuple[Key, ...], int]

    def where(self, *keys: Key) -> str:
        """Say where a part is, such as ``rotterdam.odcs.yaml, line 12``."""
        found = tuple(keys)
        while found not in self._lines:
            found = found[:-1]
        return f"{self.path.name}, line {self._lines[found]}"

    def extensions(self, known: set[str], *keys: Key) -> dict[str, Any]:
        """Return the ``datalab.*`` custom properties of the part at ``keys``, by name without the prefix.

        Raises:
            BadInputError: one of them is not known here, or stands twice.
        """
        part: Any = self.data
        for key in keys:
            part = part[key]
        found: dict[str, Any] = {}
        for index, entry in enumerate(part.get("customProperties", [])):
            name = entry["property"]
            if not name.startswith(PREFIX):
                continue
            where = self.where(*keys, "customProperties", index)
            if name.removeprefix(PREFIX) not in known:
                allowed = ", ".join(sorted(PREFIX + one for one in known)) or "none"
                raise BadInputError(
                    f"{name} is not a property that Datalab knows here.",
                    where=where,
                    next_step=f"Known here: {allowed}.",
                )
            if name.removeprefix(PREFIX) in found:
                raise BadInputError(f"{name} is given twice.", where=where, next_step="Keep one of them.")
            found[name.removeprefix(PREFIX)] = entry["value"]
        return found


def read_document(path: Path) -> Document:
    """Read and validate a contract file.

    Raises:
        NotFoundError: there is no such file.
        BadInputError: it is not YAML, a key stands twice, or it breaks the standard's JSON Schema.
        NotInstalledError: the parts of the extra ``node`` are missing.
    """
    try:
        import jsonschema
        import yaml
    except ModuleNotFoundError as error:
        raise NotInstalledError("Reading a data contract", "node") from error
    try:
        content = path.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(
            f"There is no data contract {path}.", next_step="Name an .odcs.yaml file that exists."
        ) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(content)  # the C one is there where libyaml is
    try:
        root = loader.get_single_node()
        lines: dict[tuple[Key, ...], int] = {(): 1}
        if root is not None:
            _collect_lines(root, lines, path.name)
        data: Any = loader.construct_document(root) if root is not None else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = path.name if mark is None else f"{path.name}, line {mark.line + 1}"
        raise BadInputError(
            "The contract is not valid YAML.", where=where, next_step="Correct the indentation or the quotes there."
        ) from None
    if not isinstance(data, dict):
        raise BadInputError(
            "This is not a data contract.", where=path.name, next_step="The contract comes first, then the data file."
        )
    document = Document(path=path, digest=sha256_hex(content), data=data, _lines=lines)
    validator = jsonschema.Draft201909Validator(_schema())
    worst = jsonschema.exceptions.best_match(validator.iter_errors(data))
    if worst is not None:
        raise BadInputError(
            f"The contract breaks the Open Data Contract Standard at {_path(worst.absolute_path)}: {_broken(worst)}.",
            where=document.where(*worst.absolute_path),
            next_step="Correct it as the standard says.",
        )
    return document


def _broken(error: ValidationError) -> str:
    """Say which rule of the schema is broken, and nothing of what was found: it may have been a data file."""
    match error.validator:
        case "required":
            found = error.instance if isinstance(error.instance, dict) else {}
            required: Any = error.validator_value
            missing = [str(name) for name in required if name not in found]
            return f"{', '.join(missing)} is missing"
        case "additionalProperties" | "unevaluatedProperties":
            return "it has a property that the standard does not know there"
        case "enum" | "const" | "type" | "pattern" | "minimum" | "maximum":
            return f"it is not of the {error.validator} {error.validator_value!r}"
        case other:
            return f"it breaks the rule {other!r}"


def _schema() -> dict[str, Any]:
    package = importlib.resources.files("open_data_contract_standard")
    schema: dict[str, Any] = json.loads((package / "schema.json").read_bytes())
    return schema


def _path(keys: Sequence[Key]) -> str:
    return "/".join(str(key) for key in keys) or "the top"


def _collect_lines(root: Any, lines: dict[tuple[Key, ...], int], name: str) -> None:
    """Note the line of ``root`` and of all below it; refuse odd or repeated keys, and aliases.

    A node that is reached twice (``*alias``) could make a small file endless.
    """
    import yaml

    def refuse(what: str, line: int) -> BadInputError:
        return BadInputError(
            what, where=f"{name}, line {line + 1}", next_step="Write each part once, in full, under a plain key."
        )

    seen: set[int] = set()
    rest: list[tuple[Any, tuple[Key, ...]]] = [(root, ())]
    while rest:
        part, at = rest.pop()
        if id(part) in seen:
            raise refuse("The contract uses a YAML alias.", part.start_mark.line)
        seen.add(id(part))
        lines.setdefault(at, part.start_mark.line + 1)
        if isinstance(part, yaml.SequenceNode):
            rest += [(value, (*at, index)) for index, value in enumerate(part.value)]
        elif isinstance(part, yaml.MappingNode):
            for key, value in part.value:
                if key.tag != "tag:yaml.org,2002:str":
                    raise refuse("The contract has a key that is not text.", key.start_mark.line)
                below = (*at, key.value)
                if below in lines:
                    raise refuse(f"The key {key.value} stands twice.", key.start_mark.line)
                lines[below] = key.start_mark.line + 1
                rest.append((value, below))
