"""Reads and writes the dataset in OUTPUT: snapshots, commits, history, compaction and sweeps.

Imports: schemas, transforms. Reading needs no Beam, torch or FAISS.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
