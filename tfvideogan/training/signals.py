"""Ctrl-C and SIGTERM as requests to stop after the step."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class StopSignals:
    """Turns Ctrl-C and SIGTERM into a request to stop after the step; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, _: FrameType | None) -> None:
        # A repeated SIGTERM, which schedulers send, must not spoil the save; a second Ctrl-C means it.
        if self.signal_number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = number
