"""Parameters from a file or a command line, read so that nothing becomes what nobody wrote.

YAML guesses: `3.10` is read as 3.1, `on` as true, `2026-01-01` as a date, `010` as eight. Here the
notebook's declared types decide what a bare YAML word means, and where text is declared it stays as
it was written. TOML and JSON say themselves what is text; a value of another type is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import yaml

from task_lab.errors import UsageError, did_you_mean
from task_lab.ipynb import read_notebook
from task_lab.parameters import Parameter, check_parameters, declared_parameters

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
# No leading zeros, underscores or sexagesimals: readers differ about what they are.
_INT = re.compile(r"[-+]?(?:0|[1-9]\d*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
# No parameter is nested deeper; the parser takes seconds over thousands of levels.
_DEEPEST = 20


class ParameterFileUnreadable(UsageError):
    """The file is missing, or is not what its name says; `problem` tells."""

    def __init__(self, file: Path, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"{file}: {problem}")


def parameters_for(notebook: Path, file: Path) -> dict[str, Any]:
    """The file's parameters for a notebook, whose own cell says of which types they are.

    Raises as `read_parameter_file` does, and NotebookUnusable.
    """
    declared = declared_parameters(read_notebook(notebook), notebook.name)
    return read_parameter_file(file, declared, notebook.name)


def parameters_of(notebook: Path, pairs: Sequence[str]) -> dict[str, Any]:
    """The parameters that texts `NAME=VALUE` give, of the types that the notebook declares.

    Raises UsageError for a text without `=`, NotebookUnusable, and ParametersRefused.
    """
    declared = declared_parameters(read_notebook(notebook), notebook.name)
    split = [pair.partition("=") for pair in pairs]
    for pair, (_, sign, _) in zip(pairs, split, strict=True):
        if not sign:
            raise UsageError(f"a parameter is NAME=VALUE, not {pair!r}")
    try:
        given = _without_doubles([(name.strip(), text) for name, _, text in split])
    except ValueError as error:
        raise UsageError(f"a parameter was {error}") from error
    meant = {
        name: _meaning(str(text), _choices(declared[name].kind)) if name in declared else text
        for name, text in given.items()
    }
    return check_parameters(declared, meant, notebook.name)


def read_parameter_file(
    file: Path, declared: Mapping[str, Parameter], notebook: str
) -> dict[str, Any]:
    """The file's parameters, exactly of the types that the notebook declares.

    Raises ParameterFileUnreadable, and ParametersRefused for unknown names and other types.
    """
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        known = did_you_mean(file.suffix, _READERS)
        raise ParameterFileUnreadable(file, f"no kind of parameter file is {file.suffix!r}{known}")
    try:
        given = reader(file.read_text("utf-8"), {name: one.kind for name, one in declared.items()})
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ParameterFileUnreadable(file, str(error)) from error
    if not isinstance(given, dict):
        raise ParameterFileUnreadable(file, "it must hold names and their values")
    return check_parameters(declared, given, notebook)


def _read_json(text: str, _: Mapping[str, Any]) -> object:
    return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_refuse_constant)


def _read_toml(text: str, _: Mapping[str, Any]) -> object:
    return tomllib.loads(text)


def _read_yaml(text: str, kinds: Mapping[str, Any]) -> object:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) is not None:
            raise ValueError(f"aliases and tags have no place here{event.start_mark}")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} levels deep{event.start_mark}")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        return None
    return _without_doubles(
        [(key.value, _value_of(node, kinds.get(key.value, str))) for key, node in root.value]
    )


_READERS = {".json": _read_json, ".toml": _read_toml, ".yaml": _read_yaml, ".yml": _read_yaml}


def _value_of(node: yaml.Node, kind: Any) -> object:
    """What a node means where `kind` is declared; where it means nothing, what was written."""
    choices = _choices(kind)
    inside: Any = {get_origin(one): get_args(one)[-1] for one in choices if get_origin(one)}
    if isinstance(node, yaml.SequenceNode):
        return [_value_of(item, inside.get(list, str)) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return _without_doubles(
            [(key.value, _value_of(item, inside.get(dict, str))) for key, item in node.value]
        )
    assert isinstance(node, yaml.ScalarNode)
    return node.value if node.style else _meaning(node.value, choices)


def _choices(kind: Any) -> tuple[Any, ...]:
    """The kinds that a value of this kind may be: those of a union, or the kind itself."""
    choices = get_args(kind) if get_origin(kind) not in {list, dict} else (kind,)
    return choices or (kind,)


def _meaning(word: str, kinds: Sequence[Any]) -> object:
    """What a bare word is as the first of the kinds that it can be; text where text may be."""
    if NoneType in kinds and word in _NULLS:
        return None
    if str in kinds:
        return word
    if bool in kinds and word.lower() in _BOOLS:
        return _BOOLS[word.lower()]
    if int in kinds and _INT.fullmatch(word):
        return int(word)
    if float in kinds and _FLOAT.fullmatch(word):
        return float(word)
    return word


def _without_doubles(pairs: Sequence[tuple[Any, object]]) -> dict[Any, object]:
    names = [name for name, _ in pairs]
    doubles = sorted({str(name) for name in names if names.count(name) > 1})
    if doubles:
        raise ValueError(f"given twice: {', '.join(doubles)}")
    return dict(pairs)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
