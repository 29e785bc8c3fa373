"""What pyproject.toml can't say: the methods of `baselines/` go into the wheel as `ucr.methods.baselines`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithMethods(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "ucr", "methods", "baselines")
            caches = shutil.ignore_patterns("__pycache__")
            shutil.copytree("baselines", target, ignore=caches, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithMethods})
