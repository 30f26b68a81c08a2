"""Bytes of videos for people's eyes: thumbnails, ranges of files and objects, and previews of what browsers cannot play.

Imports: dataset.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
