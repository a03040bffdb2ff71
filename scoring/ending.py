"""What is to be done when the process ends: by itself, or by SIGTERM.

Azure ends an instance by SIGTERM, after which the engine's own server lets running calls finish and raises
the signal again (facts/functions.md §2.8 trap 3); or without a word. So whatever rests on this is lost with
some processes. To be called on the main thread, before that server starts.
"""

import atexit
import signal
import threading
from collections.abc import Callable
from types import FrameType


def at_the_end(work: Callable[[], None]) -> None:
    """Have work done before the process ends; it may be done more than once."""
    atexit.register(work)
    before = signal.getsignal(signal.SIGTERM)
    # Python takes handlers on the main thread alone; without one an end by SIGTERM runs no atexit either.
    if before is None or threading.current_thread() is not threading.main_thread():
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        work()
        if callable(before):
            before(number, frame)
        elif before is signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    signal.signal(signal.SIGTERM, on_signal)
