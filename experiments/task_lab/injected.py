"""Parameters as papermill leaves them in a running notebook.

papermill's own command only warns about a name that the notebook does not declare, and reads values
as YAML 1.1 does: `3.10` reaches the kernel as 3.1 and `on` as True, whatever is declared. Without a
tagged cell it puts the values on top, where the notebook's own defaults replace them.
`task_lab.notebook` refuses all that before a kernel starts; a kernel started by papermill alone
looks here, before anything else is.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Sequence

from IPython.core.getipython import get_ipython

from task_lab.errors import did_you_mean
from task_lab.parameters import Parameter, ParametersRefused, declared_in, problem_with

# The comment that papermill's translator for Python puts above the values.
_MARK = "# Parameters"
_REPLACED = "was given above the cell that declares it, and is replaced there"


def refuse_undeclared(known: Collection[str]) -> None:
    """Raise ParametersRefused if the notebook that runs this got what it did not declare.

    That is a name beyond `known`, a value of another type, or values that its own defaults have
    replaced. Does nothing outside a notebook.
    """
    shell = get_ipython()
    sources = shell.user_ns.get("In", []) if shell is not None else []
    unknown = [name for name in injected_names(sources) if name not in known]
    problems = {name: f"is unknown{did_you_mean(name, known)}" for name in unknown}
    problems |= injected_problems(sources)
    if problems:
        raise ParametersRefused("the notebook", problems)


def injected_names(sources: Iterable[str]) -> list[str]:
    """The names that injected cells assign, in order. sources: the cells run so far."""
    return [name for source in sources for name, _ in _assigned(source)]


def injected_problems(sources: Sequence[str]) -> dict[str, str]:
    """What is wrong with the injected values of declared names, by name.

    sources: the cells run so far, in order. Of values given twice the later one counts.
    """
    declaring = next((at for at, source in enumerate(sources) if _declared(source)), None)
    if declaring is None:
        return {}
    declared = _declared(sources[declaring])
    found = {
        name: _problem(declared[name], value) if at > declaring else _REPLACED
        for at, source in enumerate(sources)
        for name, value in _assigned(source)
        if name in declared
    }
    return {name: problem for name, problem in found.items() if problem is not None}


def _problem(parameter: Parameter, value: ast.expr) -> str | None:
    try:
        given = ast.literal_eval(value)
    except ValueError:
        return f"must be {parameter.annotation}, not {ast.unparse(value)}"
    # papermill makes a number of every word that is one; whole ones still say what was meant.
    if parameter.kind is str and type(given) is int:
        return None
    return problem_with(parameter, given)


def _declared(source: str) -> dict[str, Parameter]:
    """What a cell declares, if it is one that only declares."""
    try:
        return declared_in(source)
    except (SyntaxError, ValueError):
        return {}


def _assigned(source: str) -> list[tuple[str, ast.expr]]:
    """Each name and value of a cell that papermill injected; nothing of any other."""
    if not source.startswith(_MARK):
        return []
    return [
        (target.id, statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
