"""Numbered migrations: what brings the tables of one version up to the next.

One file a version, ``v001_decisions.py`` and so on, with a function ``upgrade(connection)`` that spells out every
column itself. A version that was released is never edited. To change the schema: change :mod:`emafusion.store.tables`,
which is what queries are written against, add a file here that gets an older database there, and append it to
``VERSIONS`` in ``versions.py``. A test compares what all migrations leave behind with those tables.
"""

from __future__ import annotations
