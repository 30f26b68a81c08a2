"""Finding exact words: a lexical index (tantivy, BM25) over speech, screens, subtitles and titles, and its query syntax.

Imports: dataset, and the folders below pipeline/. Searching never imports Beam, torch or faiss.

The names in `__init__.pyi` are this room's door: other rooms and users import those, and nothing else. They are loaded
when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
