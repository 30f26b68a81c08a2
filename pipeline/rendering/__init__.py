"""Pages: their templates, styles and scripts, which the explorer serves, and those that are written to files; pictures too.

A page in a file is the same as one that is served, holds all that it shows, and asks for nothing on any host.

Imports: answers, playing, surveys, views, search and dataset.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
