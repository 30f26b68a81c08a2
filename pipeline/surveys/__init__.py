"""What is found over a whole snapshot: its health, its changes, a map of its frames, repeats, outliers and labels.

Imports: search, indexes, words and dataset.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
