"""Add what pyproject.toml cannot express: the folder `weights` as a package, and the text for an index.

pyproject.toml can find packages or list them, but not both.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup


def index_text(readme: str) -> str:
    """Return the README for a package index, where links to files of the project would lead nowhere.

    A link to a file becomes its text, with the path of the file in the source distribution behind it. Links
    to web addresses stay. Pictures are left out.
    """
    without_pictures = re.sub(r"^!\[[^]]*\]\((?!https?:)[^)]*\)\n+", "", readme, flags=re.MULTILINE)

    def plain(match: re.Match[str]) -> str:
        text, path = match[1], match[2].partition("#")[0]
        return text if not path or text == path else f"{text} ({path})"

    return re.sub(r"\[([^]]*)\]\((?!https?:)([^)]*)\)", plain, without_pictures)


if __name__ == "__main__":
    setup(
        packages=[*find_packages(include=["burstfix", "burstfix.*"]), "burstfix.weights"],
        package_dir={"burstfix.weights": "weights"},
        long_description=index_text(Path(__file__).with_name("README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )
