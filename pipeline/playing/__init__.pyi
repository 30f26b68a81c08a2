from .file_cache import FileCache as FileCache
from .frame_places import FramePlaces as FramePlaces
from .frame_places import Place as Place
from .thumbnails import Thumbnails as Thumbnails
