"""Costs as files: NDJSON, CSV, Parquet and FOCUS, encoded a piece at a time."""
