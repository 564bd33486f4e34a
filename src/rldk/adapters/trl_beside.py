"""What a Trainer leaves beside its history: the results of its scripts, and TRL's samples of completions."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from rldk.adapters.base import Bad
from rldk.adapters.foreign_json import document

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RESULTS", "completions", "results"]

RESULTS: Final = ("all_results.json", "train_results.json", "eval_results.json", "predict_results.json")
"""What `Trainer.save_metrics` calls its files; the first holds what is in the others."""


def results(folder: Path) -> dict[str, Any]:
    """The first file of results in a folder, as a fact of the run; a damaged one is named as such."""
    path = next((folder / name for name in RESULTS if (folder / name).is_file()), None)
    if path is None:
        return {}
    found = document(path)
    said = f"cannot be read: {found.problem.error(path)}" if isinstance(found, Bad) else found.value
    return {path.name: said}


def completions(folder: Path) -> dict[str, Any]:
    """How many completions TRL saved beside a run, with `log_completions`: a fact of the run, no event."""
    files = sorted((folder / "completions").glob("completions_*.parquet"))
    if not files:
        return {}
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        counted = "reading them needs pyarrow: pip install 'rldk[table]'"
        return {"completions": {"files": len(files), "not_counted": counted}}
    rows, steps, damaged = 0, set(), []
    for path in files:
        try:
            column = parquet.read_table(path, columns=["step"]).column("step")
        except (OSError, ValueError, KeyError, NotImplementedError) as error:
            damaged.append(f"{path.name}: {error}")
            continue
        rows += len(column)
        steps.update(column.unique().to_pylist())
    counts = {"files": len(files), "rows": rows, "steps": len(steps)}
    return {"completions": counts | ({"damaged": damaged} if damaged else {})}
