"""Tools for people and scripts: each is one subcommand of `task-platform`."""
