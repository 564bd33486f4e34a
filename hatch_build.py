"""Copies into the package what the page takes from npm, so that an installed package needs no Node."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PAGE: Final = Path("src/rldk/page")
_TAKEN: Final = {
    "dist/uPlot.iife.min.js": "uPlot.js",
    "dist/uPlot.min.css": "uPlot.css",
    "LICENSE": "uPlot.LICENSE.txt",
}
_LOCK: Final = "package-lock.json"


class PageHook(BuildHookInterface[Any]):
    """Fills `vendor` beside the page, once for each lock file.

    Where that cannot be done it warns, and the package is built without: `rldk serve` then says what is missing.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Bring the files, unless they are there: a source distribution holds them already."""
        page = Path(self.root) / _PAGE
        stamp = page / "vendor" / _LOCK
        if stamp.is_file() and stamp.read_bytes() == (page / _LOCK).read_bytes():
            return
        try:
            _bring(page)
        except FileNotFoundError as error:
            self.app.display_warning(f"built without the charts of the web page: {error.filename} was not found")
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines()[-1:] or ["nothing"]
            self.app.display_warning(f"built without the charts of the web page: npm failed and said: {said[0]}")


def _bring(page: Path) -> None:
    """Install what the lock file says in a folder that passes, and keep the files that the page uses.

    Raises:
        FileNotFoundError: there is no npm.
        CalledProcessError: npm could not do it.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(None, "not found", "npm")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", _LOCK):
            shutil.copy(page / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, encoding="utf-8")  # noqa: S603 - npm
        vendor = page / "vendor"
        vendor.mkdir(exist_ok=True)
        for source, name in _TAKEN.items():
            shutil.copyfile(Path(folder, "node_modules/uplot", source), vendor / name)
        # Last, so that what stands beside it is whole.
        shutil.copyfile(page / _LOCK, vendor / _LOCK)
