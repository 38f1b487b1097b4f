"""Attacks on tables: what follows from a table alone, or together with everything that was released before (B7–B11).

Each check is one public function from a typed artefact to findings; :mod:`export_gate.checks` lists them all.
"""
