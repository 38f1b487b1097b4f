"""The ledger of record sets: the gate remembers whom each released number tells of, and compares (law 4; B6, B26).

``vectors`` is what a number depends on, ``recorded`` a table in the form that is kept, ``sketch`` and ``compare`` find differences of
too few subjects, ``judging`` turns them into findings, ``ledger`` is the database, ``remembering`` the gate's side of all this, and
``tries`` bounds what refusals tell.
"""
