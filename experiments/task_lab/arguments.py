"""The arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[
    str,
    typer.Argument(
        help="A path, a run's id or a part of it, latest, latest:EXPERIMENT, latest~1.",
        show_default=False,
    ),
]
Results = Annotated[Path, typer.Option(help="Where run folders are.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
