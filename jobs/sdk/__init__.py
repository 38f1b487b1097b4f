"""What a tenant's code sees of the platform inside the jail: one object, ``job``.

This package is mounted alone, so it imports the standard library and the provided libraries (PySpark, DuckDB, pandas, scikit-learn)
and nothing else of ours. Nothing here is a wall: a tenant may change any of it while running, and gains nothing (law 1).
"""
