from .app import make_app as make_app
from .options import ExploreOptions as ExploreOptions
from .serve import serve as serve
from .state import Explorer as Explorer
