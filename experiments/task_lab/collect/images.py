"""Which images the containers of a stack were made of."""

from __future__ import annotations

import json
from typing import Any

from task_lab.runtime.base import Runtime
from task_lab.runtime.compose.engine import docker
from task_lab.runtime.compose.runtime import ComposeRuntime

_ANSWER_S = 30.0


def image_digests(runtime: Runtime) -> dict[str, dict[str, Any]]:
    """The image of each service of a running stack; empty where there are no containers.

    id: of its content here. digests: under which registries know it; none for one built here.
    Raises ProgramFailed, NotReadyInTime.
    """
    if not isinstance(runtime, ComposeRuntime):
        return {}
    ids = {one.service: one.image for one in runtime.project.containers()}
    if not ids:
        return {}
    answer = docker("image", "inspect", *sorted(set(ids.values())), deadline_s=_ANSWER_S)
    images = {image["Id"]: image for image in json.loads(answer)}
    return {service: described(images[image]) for service, image in sorted(ids.items())}


def described(image: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an engine's description of an image."""
    return {
        "id": image["Id"],
        "digests": sorted(image.get("RepoDigests") or ()),
        "tags": sorted(image.get("RepoTags") or ()),
        "created_at": image.get("Created"),
    }
