"""Who is kept informed about a long piece of work while it is being done."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from renalmap.progress import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listener:
    """Who is kept informed.

    Attributes:
        progress: what is being done, how much of it is done, and how much there is in all.
        announce: a sentence that the user may want to know at once.
        warn: a sentence that the user should know.
    """

    progress: Progress = lambda *_: None
    announce: Callable[[str], None] = logger.info
    warn: Callable[[str], None] = logger.warning
