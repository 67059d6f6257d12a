"""How databases of older versions become what `tables.py` says: one Alembic revision a change.

A new one: change `tables.py`, add `versions/NNNN_what.py` with the same change (inside
`op.batch_alter_table`, as SQLite alters by copying), append its number to `REVISIONS`. The tests
compare both ways to the newest tables on SQLite and PostgreSQL.
"""

from __future__ import annotations

from typing import Final

# Read by every command, which must not load Alembic only to learn that nothing is to be done.
REVISIONS: Final = ("0001", "0002")
NEWEST: Final = REVISIONS[-1]

# Not Alembic's own name: the database may be shared with other programs that use Alembic.
VERSION_TABLE: Final = "calotype_schema"
