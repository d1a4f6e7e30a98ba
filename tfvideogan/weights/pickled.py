"""A reader of pickles that hold tensors: a stack machine that knows containers, and runs nothing.

Python's own unpickler calls whatever a file names. This one has a list of what PyTorch's files name, and refuses all
else by its name. It never recurses, so depth costs nothing, and it stops at bounds on operations and on the stack.
`pickletools` splits the bytes into operations; it is a disassembler and runs none of them.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

from tfvideogan.weights.tensors import MalformedError

MOST_OPERATIONS = 200_000  # The state dict of G1 takes about 2,000.
DEEPEST_STACK = (
    10_000  # A mark puts all items of a container on the stack, at most 1,000 of them as pickles are written.
)
LONGEST_NAME = 1_000

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "INT", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING",
    "SHORT_BINSTRING",
}  # fmt: skip
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class Named:
    """What a pickle names, of which nothing is imported: `module name`."""

    def __init__(self, name: str):
        self.name = name


class Machine:
    """Reads one pickle.

    Args:
        calls: what a pickle may call, by `module name`: each a function of the call's arguments.
        names: whether a pickle may name, without calling it, this `module name`.
        persistent: turns a persistent id, which is a tuple, into what it stands for.
    """

    def __init__(
        self,
        calls: dict[str, Callable[..., Any]],
        names: Callable[[str], bool],
        persistent: Callable[[Any], Any],
    ):
        self._calls, self._names, self._persistent = calls, names, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, file: io.BytesIO) -> Any:
        """What the pickle at the file's position holds; the position is then behind it.

        Raises:
            MalformedError, or what `tensors.reading` knows: it is damaged, too large, or names something unknown.
        """
        for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if count >= MOST_OPERATIONS or len(self._stack) > DEEPEST_STACK:
                raise MalformedError(f"a pickle of more than {MOST_OPERATIONS} operations, or nested too deeply")
            if operation.name == "STOP":
                return self._stack.pop()
            self._take(operation.name, argument)
        raise MalformedError("a pickle without an end")

    def _take(self, operation: str, argument: Any) -> None:
        if operation in _VALUES:
            self._stack.append(argument)
        elif operation in _CONSTANTS:
            self._stack.append(_CONSTANTS[operation])
        elif operation in _EMPTY:
            self._stack.append(_EMPTY[operation]())
        elif operation in _TUPLES:
            count = _TUPLES[operation]
            if len(self._stack) < count:
                raise MalformedError("a pickle takes more from its stack than there is")
            self._stack[-count:] = [tuple(self._stack[-count:])]
        elif operation in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
        elif operation in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif operation not in ("PROTO", "FRAME"):
            self._build(operation, argument)

    def _build(self, operation: str, argument: Any) -> None:
        stack = self._stack
        if operation == "MARK":
            stack.append(_MARK)
        elif operation == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif operation in ("APPEND", "APPENDS"):
            items = [stack.pop()] if operation == "APPEND" else self._to_mark()
            self._top(list).extend(items)
        elif operation in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if operation == "SETITEM" else self._to_mark()
            self._set(self._top(dict), items)
        elif operation in ("GLOBAL", "STACK_GLOBAL"):
            if operation == "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                argument = f"{module} {name}" if isinstance(module, str) and isinstance(name, str) else None
            stack.append(self._name(argument))
        elif operation == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._call(function, arguments))
        elif operation == "BINPERSID":
            stack.append(self._persistent(stack.pop()))
        elif operation == "BUILD":  # A state dict carries its versions as an attribute, which nothing here needs.
            stack.pop()
            self._top(dict)
        else:
            raise MalformedError(f"a pickle with the operation {operation}, which files of tensors do not have")

    def _name(self, name: Any) -> Named:
        if name not in self._calls and not (isinstance(name, str) and self._names(name)):
            raise MalformedError(
                f"a pickle that names {str(name)[:LONGEST_NAME].replace(' ', '.')}, which is not loaded"
            )
        return Named(name)

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Named) or function.name not in self._calls or type(arguments) is not tuple:
            raise MalformedError("a pickle that calls what is no function of this list")
        return self._calls[function.name](*arguments)

    def _to_mark(self) -> list[Any]:
        """Takes what lies above the last mark, and the mark."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                items = self._stack[place + 1 :]
                del self._stack[place:]
                return items
        raise MalformedError("a pickle without a mark")

    def _top(self, kind: type) -> Any:
        top = self._stack[-1]
        if type(top) is not kind:
            raise MalformedError(f"a pickle that adds to what is no {kind.__name__}")
        return top

    @staticmethod
    def _set(target: dict[Any, Any], items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int):  # The hash of a nested tuple would recurse.
                raise MalformedError("a pickle whose keys are no strings")
            target[key] = value
