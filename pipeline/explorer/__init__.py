"""The explorer: pages where people search what was extracted, look at a video and play the moment, and the API behind them.

Imports: rendering, answers, playing, surveys, views, search, words, indexes and dataset.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
