from .metrics_page import watched as watched
from .pool import Pool as Pool
from .profile import profiled as profiled
from .progress import run_beside as run_beside
from .progress import show_progress as show_progress
from .shares import shares as shares
from .shares import worker_count as worker_count
