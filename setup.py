"""Add the folder `weights` to the packages; pyproject.toml can find packages or list them, but not both."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["burstfix", "burstfix.*"]), "burstfix.weights"],
    package_dir={"burstfix.weights": "weights"},
)
