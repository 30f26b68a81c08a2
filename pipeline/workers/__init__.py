"""Runs tasks in worker processes on this machine, and shows what they do: shares of cores and GPUs, progress, profile.

Imports: the folders below pipeline/. It knows nothing of videos: a task is a function, its items and what all tasks share.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
