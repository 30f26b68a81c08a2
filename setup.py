"""Maps the four folders to one namespace, `reelbeam.<folder>`, so that a project's own `models/` is safe. All else about the
package is in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("schemas", "models", "transforms", "pipeline")
PACKAGES = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])

setup(
    package_dir={f"reelbeam.{package}": package.replace(".", "/") for package in PACKAGES},
    packages=[f"reelbeam.{package}" for package in PACKAGES],
    package_data={
        "reelbeam.models.mini_clip": ["*.json", "*.safetensors", "*.md", "*.txt"],
        **{f"reelbeam.{package}": ["*.pyi"] for package in PACKAGES if package.startswith("pipeline.")},
        "reelbeam.pipeline.rendering": ["*.pyi", "templates/*.html", "static/*"],
    },
)
