"""The store: decisions, attempts, verdicts and feedback in a database, written beside the requests.

Nothing leaves the machine but to the database that the user names.
"""

from __future__ import annotations

from emafusion.store.store import Store

__all__ = ["Store"]
