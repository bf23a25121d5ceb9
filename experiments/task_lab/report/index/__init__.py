"""The index page of all runs, rebuilt from the runs themselves.

Nothing is kept in it: two runs that end together both rebuild it from disk, and neither is lost.
"""

from task_lab.report.index.page import rebuild_index

__all__ = ["rebuild_index"]
