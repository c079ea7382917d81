"""Add what pyproject.toml cannot express: compiled loops, the folder `weights`, and the text for an index.

pyproject.toml can find packages or list them, but not both.
"""

import platform
import re
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup


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


def compiled_loops() -> list[Extension]:
    """Return the library of burstfix.native, for processors and compilers for which it was written.

    It is optional: without a compiler, the installation succeeds, and burstfix uses torch instead. It has no
    function that Python calls directly, so one file serves every version of Python.
    """
    if sys.platform == "win32" or platform.machine() not in ("x86_64", "AMD64"):
        return []
    loops = Extension(
        "burstfix.native._loops",
        ["burstfix/native/loops.c"],
        depends=glob("burstfix/native/*.inc"),
        extra_compile_args=["-O3", "-ffp-contract=fast", "-Wno-psabi"],
        py_limited_api=True,
        optional=True,
    )
    return [loops]


if __name__ == "__main__":
    setup(
        packages=[*find_packages(include=["burstfix", "burstfix.*"]), "burstfix.weights"],
        ext_modules=compiled_loops(),
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
        package_dir={"burstfix.weights": "weights"},
        long_description=index_text(Path(__file__).with_name("README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )
