"""How submissions arrive in an open loop, as a caller says it: `poisson`, `ramp:50-400`, …"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from task_lab.errors import UsageError, did_you_mean
from task_lab.spec.records import Rate, Record

Shape = Literal["constant", "poisson", "burst", "ramp", "trace"]
SHAPES: tuple[Shape, ...] = ("constant", "poisson", "burst", "ramp", "trace")
_RAMP = re.compile(r"([\d.]+)-([\d.]+)")


class Arrivals(Record):
    """A shape, and what only this shape needs.

    burst: submissions that arrive at one instant. start_per_s, end_per_s: of a ramp, instead of the
    load's own rate. trace: the CSV file whose column `at_s` says when each one arrives.
    """

    shape: Shape = "constant"
    burst: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    start_per_s: Rate | None = None
    end_per_s: Rate | None = None
    trace: str | None = None

    @property
    def text(self) -> str:
        """The arrivals as a caller would ask for them."""
        match self.shape:
            case "burst":
                return f"burst:{self.burst}"
            case "ramp":
                return f"ramp:{self.start_per_s:g}-{self.end_per_s:g}"
            case "trace":
                return f"trace:{self.trace}"
        return self.shape


def read_arrivals(text: str) -> Arrivals:
    """The arrivals a text names: `constant`, `poisson`, `burst:50`, `ramp:50-400`, `trace:FILE`.

    Raises UsageError.
    """
    shape, _, rest = text.strip().partition(":")
    if shape not in SHAPES:
        raise UsageError(f"no arrivals named {shape!r}{did_you_mean(shape, SHAPES)}")
    try:
        return Arrivals.model_validate({"shape": shape, **_details(shape, rest)})
    except (ValidationError, ValueError) as error:
        raise UsageError(
            f"arrivals {text!r}: use constant, poisson, burst:COUNT, ramp:FROM-TO or trace:FILE"
        ) from error


def _details(shape: str, rest: str) -> dict[str, object]:
    match shape:
        case "burst":
            return {"burst": int(rest)}
        case "ramp" if found := _RAMP.fullmatch(rest):
            return {"start_per_s": float(found[1]), "end_per_s": float(found[2])}
        case "trace" if rest:
            return {"trace": rest}
        case "constant" | "poisson" if not rest:
            return {}
    raise ValueError(rest)


def _as_arrivals(value: object) -> object:
    return read_arrivals(value) if isinstance(value, str) else value


ArrivalsField = Annotated[Arrivals, BeforeValidator(_as_arrivals)]
