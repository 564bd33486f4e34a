"""Loaded by every Python process of these tests: prepares it for OpenRLHF just before that is imported."""

import importlib.abc
import sys


class _BeforeOpenRLHF(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname == "openrlhf":
            sys.meta_path.remove(self)
            import without_gpu

            without_gpu.prepare()


sys.meta_path.insert(0, _BeforeOpenRLHF())
