"""From a run folder to a report: figures, tables, prose, one HTML file. Never asks a server."""
