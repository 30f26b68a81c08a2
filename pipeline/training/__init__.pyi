from .batches import Batch as Batch
from .window_dataset import WindowDataset as WindowDataset
