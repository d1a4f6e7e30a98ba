"""How much memory a training step takes, counted in the graph of the step itself: nothing of it is run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfvideogan.models.adversarial import AdversarialModel

# The result of these operations lies in the memory of their input.
_ALIASES = {
    "EnsureShape", "ExpandDims", "Identity", "IdentityN", "PreventGradient", "Reshape", "Squeeze", "StopGradient",
}  # fmt: skip
# The result of these takes the place of an input of which nothing else is made.
_IN_PLACE = {
    "Abs", "Add", "AddN", "AddV2", "BiasAdd", "Exp", "LeakyRelu", "LeakyReluGrad", "Log1p", "Mul", "Neg", "RealDiv",
    "Relu", "ReluGrad", "SelectV2", "Sigmoid", "SigmoidGrad", "Sign", "Softplus", "Sqrt", "Square", "Sub", "Tanh",
    "TanhGrad",
}  # fmt: skip
_HELD_ELSEWHERE = {"Const", "Placeholder", "ReadVariableOp"}
_PRODUCTS = ("Conv", "MatMul", "BatchMatMul")
_BRANCHES = 2  # So many convolutions run at a time: those of real and of generated clips do not wait for each other.


def of_step(model: AdversarialModel, rows: int) -> int:
    """Bytes that a training step without XLA needs on one replica, beside what TensorFlow itself takes.

    They are those of all variables, of the tensors that the step holds at its peak, and of three copies of the
    largest variable: its initial value, and its weights as they lie for each of two convolutions at a time.

    Args:
        model: compiled, of a single replica; its step is traced but not taken.
        rows: clips a replica.
    """
    clips = tf.TensorSpec([rows, *model.clip_shape], tf.float32)
    data = (clips, tf.TensorSpec([rows, 2], tf.float32)) if model.takes_wind else clips
    function = tf.function(lambda data: model.train_step(data), autograph=False).get_concrete_function(data)
    variables = [v.value for owner in (model, *model.optimizers) for v in owner.variables]
    sizes = {id(variable): math.prod(variable.shape) * variable.dtype.size for variable in variables}
    batch = sum(math.prod(spec.shape) * spec.dtype.size for spec in tf.nest.flatten(data))
    tensors = peak(function.graph, function.outputs)
    return sum(sizes.values()) + batch + tensors + (1 + _BRANCHES) * max(sizes.values())


def peak(graph: tf.Graph, outputs: Sequence[tf.Tensor]) -> int:
    """The most bytes that a graph's tensors take at a time, without what lies in its inputs and variables.

    Devices run whatever is ready, so that the order is not known. The peak is the larger one of two orders: that in
    which the program names the operations, and that of their depth, in which all that could be run at a time is.
    """
    needed = _needed(graph, outputs)
    return max(_peak(graph, order, outputs) for order in (needed, _by_depth(needed)))


def _needed(graph: tf.Graph, outputs: Iterable[tf.Tensor]) -> list[tf.Operation]:
    """The operations that are not pruned, in the program's order."""
    operations, needed = graph.get_operations(), set()
    waiting = [tensor.op for tensor in outputs]
    waiting += [o for o in operations if o.op_def.is_stateful and o.type not in _HELD_ELSEWHERE]
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += _before(operation)
    return [operation for operation in operations if operation in needed]


def _by_depth(operations: Iterable[tf.Operation]) -> list[tf.Operation]:
    depths: dict[tf.Operation, int] = {}
    for operation in operations:
        # What only has to wait for another operation may have been named before it.
        depths[operation] = 1 + max((depths.get(before, 0) for before in _before(operation)), default=0)
    return sorted(depths, key=depths.__getitem__)


def _before(operation: tf.Operation) -> list[tf.Operation]:
    return [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]


def _peak(graph: tf.Graph, order: Sequence[tf.Operation], outputs: Iterable[tf.Tensor]) -> int:
    """The peak in this order, in which a tensor is held until the last operation that takes it has run."""
    memory: dict[Any, Any] = {}  # By tensor, it holds the one in whose memory that tensor lies.
    last: dict[Any, int] = {}
    for number, operation in enumerate(order):
        last |= {memory[tensor.ref()]: number for tensor in operation.inputs}
        for tensor in operation.outputs:
            alias = operation.type in _ALIASES
            memory[tensor.ref()] = memory[operation.inputs[0].ref()] if alias else tensor.ref()
            last[memory[tensor.ref()]] = number
    last |= {memory[tensor.ref()]: len(order) for tensor in outputs}

    freed = [0] * (len(order) + 1)
    for tensor, number in last.items():
        freed[number] += _size(tensor.deref())
    live = highest = 0
    for number, operation in enumerate(order):
        new = 0 if operation.type in _ALIASES else sum(map(_size, operation.outputs))
        high = max(0, new - freed[number]) if operation.type in _IN_PLACE else new + _workspace(graph, operation)
        highest = max(highest, live + high)
        live += new - freed[number]
    return highest


def _workspace(graph: tf.Graph, operation: tf.Operation) -> int:
    """What an operation needs beside its inputs and outputs.

    Kernels of convolutions and of matrix products may copy both into another layout. An update that is taken on a
    condition, which is that of the optimizer, has a peak of its own.
    """
    if operation.type.startswith(_PRODUCTS):
        return sum(map(_size, [*operation.inputs, *operation.outputs]))
    if operation.type not in ("If", "StatelessIf"):
        return 0
    taken = graph._get_function(operation.get_attr("then_branch").name).graph
    return peak(taken, taken.outputs)


def _size(tensor: tf.Tensor) -> int:
    """Bytes; 0 for what is held elsewhere, or of no known shape, which are some small figures."""
    if tensor.op.type in _HELD_ELSEWHERE or not tensor.shape.is_fully_defined():
        return 0
    return 0 if tensor.dtype in (tf.resource, tf.variant) else math.prod(tensor.shape) * tensor.dtype.size
