"""What a SavedModel would do, read before it is loaded: TensorFlow runs parts of it while it loads.

A SavedModel is a program. One of a stranger may read and write files, or start what it likes, as soon as it is loaded.
So only the operations that this package's own SavedModels have may be reached from its functions. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tfvideogan.config import UsageError
from tfvideogan.files import paths

_LARGEST = 2**28  # bytes of saved_model.pb; ours have some hundred thousand
_OPERATIONS = frozenset(
    """
    Abs AddV2 All Any ArgMax Assert AssignVariableOp BatchMatMulV2 BiasAdd Cast ConcatV2 Const Conv2D
    Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 DecodeJpeg DecodePng DecodeRaw DisableCopyOnRead EncodeJpeg
    EnsureShape Equal ExpandDims ExtractJpegShape Floor GatherV2 GreaterEqual Identity If LeakyRelu Less LessEqual
    LogicalAnd LogicalOr MatMul Max Maximum Minimum Mul NoOp Pack Pad PartitionedCall Placeholder Prod Range
    ReadVariableOp RealDiv Relu Reshape ReverseV2 Round Rsqrt ScaleAndTranslate Select SelectV2 Shape Sigmoid Size
    Squeeze StatefulPartitionedCall StatelessIf StatelessRandomGetKeyCounter StatelessRandomNormalV2 StatelessWhile
    StopGradient StridedSlice StringJoin StringLength Sub Substr Tanh TensorListFromTensor TensorListGetItem
    TensorListReserve TensorListSetItem TensorListStack Tile Transpose VarHandleOp While
    """.split()  # noqa: SIM905 - a list would be four times as long
)
# The kinds of the objects in it. All others would have classes of other packages restored.
_OBJECTS = frozenset({"_generic_user_object", "signature_map", "trackable_list_wrapper", "trackable_dict_wrapper"})


def check(folder: paths.Path) -> None:
    """Raises UsageError for a SavedModel that does more than those of this package, or whose files lie elsewhere."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    if not paths.is_remote(folder):
        _check_files(Path(folder))
    file = folder / "saved_model.pb"
    if file.stat().length > _LARGEST:
        raise UsageError(f"{folder}: saved_model.pb has more than {_LARGEST:,} bytes")
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise UsageError(f"{folder}: damaged SavedModel ({error})") from error
    for graph in saved.meta_graphs:
        reason = next(_reasons(graph), None)
        if reason:
            raise UsageError(
                f"{folder}: not loaded, since it {reason}, which no SavedModel of this package does; trust=True "
                "loads one that you trust"
            )


def _check_files(folder: Path) -> None:
    """Raises UsageError for files of a SavedModel that are no plain files within it."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise UsageError(f"{folder}: not loaded, since {path.relative_to(folder)} is a link or no file")


def _reasons(graph: Any) -> Iterator[str]:
    """What speaks against a meta graph."""
    if not graph.HasField("object_graph_def"):
        yield "is of TensorFlow 1, whose graph runs when it is loaded"
    if graph.asset_file_def:
        yield f"reads the file {graph.asset_file_def[0].filename!r}"
    if graph.graph_def.library.gradient or graph.graph_def.library.registered_gradients:
        yield "brings gradients of its own"
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind == "asset" or (kind == "user_object" and node.user_object.identifier not in _OBJECTS):
            yield f"holds an object of the kind {node.user_object.identifier or kind!r}"
        if node.registered_saver:
            yield f"is restored by {node.registered_saver!r}"
    functions = {function.signature.name: function for function in graph.graph_def.library.function}
    if undescribed := _undescribed(graph.object_graph_def):
        yield f"names the function {undescribed[0]!r}, which it does not describe"
    reached = _reached(functions, graph.object_graph_def.concrete_functions)
    operations = {node.op for name in reached for node in functions[name].node_def} - _OPERATIONS - set(functions)
    yield from (f"has the operation {operation}" for operation in sorted(operations))


def _undescribed(objects: Any) -> list[str]:
    """The functions that objects name and that would be left out of those that are looked at."""
    named = {name for node in objects.nodes for name in node.function.concrete_functions}
    named |= {node.bare_concrete_function.concrete_function_name for node in objects.nodes} - {""}
    return sorted(named - set(objects.concrete_functions))


def _reached(functions: dict[str, Any], roots: Iterable[str]) -> list[str]:
    """The functions that a loaded model may run: those of its objects, and all that these call.

    Saving and restoring have functions that read and write files; loading does not run these, and no other may.
    """
    reached, to_visit = set(), [name for name in roots if name in functions]
    while to_visit:
        name = to_visit.pop()
        if name in reached:
            continue
        reached.add(name)
        for node in functions[name].node_def:
            called = [node.op, *(function for value in node.attr.values() for function in _named_in(value))]
            to_visit += [function for function in called if function in functions]
    return sorted(reached)


def _named_in(value: Any) -> Iterator[str]:
    """The functions that an attribute of a node names, also in lists and in attributes of theirs."""
    for function in [value.func, *value.list.func]:
        if function.name:
            yield function.name
            for inner in function.attr.values():
                yield from _named_in(inner)
