"""What `pauseflow doctor` finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    #: `"wrong"`: something will not work; `"note"`: something is missing that not everybody needs.
    status: Literal["ok", "note", "wrong"]
    text: str
