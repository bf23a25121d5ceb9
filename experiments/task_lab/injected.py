"""Parameters as papermill leaves them in a running notebook.

papermill's own command only warns about a name that the notebook does not declare, and the run goes
on with the default. `task_lab.notebook` refuses such names before a kernel starts; a kernel started
by papermill alone looks here, before anything else is.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from IPython.core.getipython import get_ipython

from task_lab.errors import did_you_mean
from task_lab.parameters import ParametersRefused

# The comment that papermill's translator for Python puts above the values.
_MARK = "# Parameters"


def refuse_undeclared(known: Collection[str]) -> None:
    """Raise ParametersRefused if the notebook that runs this was given names beyond `known`.

    Does nothing outside a notebook.
    """
    shell = get_ipython()
    sources = shell.user_ns.get("In", []) if shell is not None else []
    unknown = [name for name in injected_names(sources) if name not in known]
    if unknown:
        raise ParametersRefused(
            "the notebook", {name: f"is unknown{did_you_mean(name, known)}" for name in unknown}
        )


def injected_names(sources: Iterable[str]) -> list[str]:
    """The names that injected cells assign, in order. sources: the cells run so far."""
    return [
        target.id
        for source in sources
        if source.startswith(_MARK)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
