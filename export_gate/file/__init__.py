"""Files that a production run hands over: read strictly in a jail, written anew by the gate, charged by their bits (B2, B20–B23, E2).

``lane`` is the trusted side, ``reading`` runs in the jail; nothing is imported here, so that the jail loads its own side alone.
"""
