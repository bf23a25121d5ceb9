"""Task types: how they are declared, and the built-in ones."""

from task_platform.handlers.context import TaskContext
from task_platform.handlers.registry import HandlerRegistry, task

__all__ = ["HandlerRegistry", "TaskContext", "task"]
