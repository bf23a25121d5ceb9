"""From a run folder to a report: figures, tables, prose, one HTML file. Reads disk, never servers."""
