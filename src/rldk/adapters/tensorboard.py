"""TensorBoard event files, whoever wrote them, read without TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rldk.adapters.base import Certainty, Claim, FormatAdapter, no
from rldk.adapters.event_files import event_unit, first_tags, folder_tags, read_event_files
from rldk.adapters.tag_conventions import convention_of

if TYPE_CHECKING:
    from pathlib import Path

    from rldk.adapters.base import Reading

__all__ = ["TensorBoardAdapter"]


class TensorBoardAdapter(FormatAdapter):
    """Reads the event files of a run; several in one folder are its restarts.

    A folder inside it is a run of its own, as it is to TensorBoard: `SummaryWriter.add_scalars` and `add_hparams`
    make such folders. Texts, histograms, pictures and graphs are set aside.
    """

    name: ClassVar[str] = "tensorboard"
    reads: ClassVar[str] = "TensorBoard event files, *tfevents*, or a folder of those of one run"

    def handles(self, head: bytes, path: Path) -> Claim:
        """Whether the file begins with a record of TensorFlow that holds an event, or the folder has such files."""
        tags = folder_tags(path) if path.is_dir() else first_tags(head)
        if tags is None:
            return no("no event file is in it" if path.is_dir() else "the first bytes are no record of an event file")
        convention = convention_of(tags)
        whose = f", tags of {convention.framework}: {convention.why}" if convention.framework else ""
        return Claim(Certainty.TYPICAL, f"TensorBoard events{whose}")

    def read(self, path: Path) -> Reading:
        """The run that the file, or the folder, holds."""
        return read_event_files(path, self.field_map)

    def unit(self, path: Path, root: Path) -> Path:
        """The folder of an event file, in which those of all restarts of its run lie."""
        return event_unit(path, root)
