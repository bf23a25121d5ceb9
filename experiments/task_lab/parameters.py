"""What a notebook may be given: read from its `parameters` cell, checked before a kernel starts.

Pure. The cell holds annotated assignments of literals and nothing else (`tasks: int = 500`), so
names, types and defaults are read without running it. papermill itself only warns about a name or
a missing cell, and turns a value it does not know into quoted text.

A value is passed on as it is or refused: converted, it would be another one inside the kernel.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from pydantic import ConfigDict, TypeAdapter, ValidationError

from task_lab.errors import UsageError, did_you_mean

TAG = "parameters"
_PLAIN: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}


class NotebookUnusable(UsageError):
    """The notebook cannot take parameters as it is; `notebook` is its name."""

    def __init__(self, notebook: str, problem: str) -> None:
        self.notebook = notebook
        super().__init__(f"{notebook}: {problem}")


class ParametersRefused(UsageError):
    """Values that the notebook does not take; `problems` by parameter name."""

    def __init__(self, notebook: str, problems: Mapping[str, str]) -> None:
        self.notebook = notebook
        self.problems = dict(problems)
        listed = "; ".join(f"{name!r} {problem}" for name, problem in self.problems.items())
        super().__init__(f"{notebook}: parameter {listed}")


@dataclass(frozen=True)
class Parameter:
    """A declared parameter. `annotation` is its type as written, `kind` the type itself."""

    name: str
    annotation: str
    default: object
    kind: Any
    adapter: TypeAdapter[Any]


def declared_parameters(notebook: NotebookNode, name: str) -> dict[str, Parameter]:
    """The parameters that the notebook declares, by name.

    Raises NotebookUnusable when there is not exactly one tagged cell, or when it holds anything
    but annotated literals.
    """
    tagged = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and TAG in cell.metadata.get("tags", [])
    ]
    if not tagged:
        raise NotebookUnusable(name, f"no code cell has the tag {TAG!r}; nothing was started")
    if len(tagged) > 1:
        raise NotebookUnusable(name, f"{len(tagged)} cells have the tag {TAG!r}; one is needed")
    try:
        return declared_in(tagged[0].source)
    except (SyntaxError, ValueError) as error:
        raise NotebookUnusable(name, f"its {TAG} cell cannot be read: {error}") from error


def declared_in(source: str) -> dict[str, Parameter]:
    """The parameters that a cell of this source declares.

    Raises SyntaxError or ValueError when it holds anything but annotated literals.
    """
    return dict(_declared(statement) for statement in ast.parse(source).body)


def check_parameters(
    declared: Mapping[str, Parameter], given: Mapping[str, object], name: str
) -> dict[str, Any]:
    """The given values, exactly of their declared types.

    Raises ParametersRefused, naming every unknown name (with the nearest known one) and every
    value of another type: nothing is converted, because the kernel would see something else.
    """
    checked: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for key, value in given.items():
        if key not in declared:
            problems[key] = f"is unknown{did_you_mean(key, declared)}"
        elif problem := problem_with(declared[key], value):
            problems[key] = problem
        else:
            checked[key] = declared[key].adapter.validate_python(value)
    if problems:
        raise ParametersRefused(name, problems)
    return checked


def problem_with(parameter: Parameter, value: object) -> str | None:
    """Why the value is none of the parameter's; None where it is one."""
    try:
        parameter.adapter.validate_python(value)
    except ValidationError:
        return f"must be {parameter.annotation}, not {value!r}"
    return None


def _declared(statement: ast.stmt) -> tuple[str, Parameter]:
    if not (
        isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and statement.value is not None
    ):
        raise ValueError(f"line {statement.lineno} is not `name: type = value`")
    kind = _type_of(statement.annotation)
    adapter: TypeAdapter[Any] = TypeAdapter(
        kind, config=ConfigDict(strict=True, allow_inf_nan=False)
    )
    default = ast.literal_eval(statement.value)
    annotation = ast.unparse(statement.annotation)
    name = statement.target.id
    try:
        adapter.validate_python(default)
    except ValidationError:
        raise ValueError(f"the default of {name} is not {annotation}") from None
    return name, Parameter(name, annotation, default, kind, adapter)


def _type_of(annotation: ast.expr) -> Any:
    """The type an annotation names; only such as look the same inside the kernel are known."""
    match annotation:
        case ast.Name(id=name) if name in _PLAIN:
            return _PLAIN[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _type_of(left) | _type_of(right)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_type_of(item)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, item])) if (
            _type_of(key) is str
        ):
            return dict[str, _type_of(item)]  # type: ignore[misc]
    raise ValueError(f"type {ast.unparse(annotation)} is not one that a parameter can have")
