"""Task types: how they are declared, and the built-in ones."""

from task_platform.handlers.registry import HandlerRegistry, TaskContext, task

__all__ = ["HandlerRegistry", "TaskContext", "task"]
