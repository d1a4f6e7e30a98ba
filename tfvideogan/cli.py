"""What every command does the same way: flags from options, one-line errors, exit statuses.

Importing this defines no flag.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import logging
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from absl import app, flags
from absl import logging as absl_logging
from tqdm import tqdm

from tfvideogan.config import DataConfig, UsageError
from tfvideogan.files import flag_files

flags.disclaim_key_flags()  # A flag that is defined here belongs to the command that asks for it.

BAD_INPUT = 2
INTERRUPTED = 130

_ended_by: list[int] = []  # The signal that `exit_on_sigterm` has answered stands here, if there was one.


def run(define_flags: Callable[[], None], main: Callable[[], int | None]) -> None:
    """Defines and parses a command's flags, runs it, and exits with its status.

    Wrong flags, a UsageError and what the operating system refuses end in one line on
    standard error and status 2 (or the error's own), Ctrl-C in status 130.
    """
    define_flags()
    with quiet_when_unread():
        app.run(lambda _: _run(main), flags_parser=_parse)


@contextlib.contextmanager
def quiet_when_unread() -> Iterator[None]:
    """Ends the process without a word, and with the status of Unix's own tools, if the reader of its output is gone.

    That is how `--helpshort | head` ends. What it is put around must leave by SystemExit.
    """
    try:
        try:
            yield
        except SystemExit:
            sys.stdout.flush()
            raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends.
        sys.exit(128 + signal.SIGPIPE)


def define(fields: Iterable[dataclasses.Field]) -> None:
    """A flag for each field of a config. Defaults stay None: `Config.create` fills in the paper's."""
    makers = {"int": flags.DEFINE_integer, "float": flags.DEFINE_float, "str": flags.DEFINE_string}
    for field in fields:
        kind = field.type.removesuffix(" | None")
        text = field.metadata["help"] + (
            f" (default {field.default})" if field.default not in (None, "") and field.default is not False else ""
        )
        if kind == "bool":
            flags.DEFINE_bool(field.name, None, text)
        elif field.metadata["choices"]:
            flags.DEFINE_enum(field.name, None, field.metadata["choices"], text)
        else:
            makers[kind](field.name, None, text)


def define_arrays() -> None:
    """`--array_layout` and `--array_range`, for commands that read clips as a training does."""
    define(field for field in dataclasses.fields(DataConfig) if field.name in ("array_layout", "array_range"))


def define_allow_outside() -> None:
    """`--allow_outside`, as a training has it."""
    define(field for field in dataclasses.fields(DataConfig) if field.name == "allow_outside")


def array_form(defaults: DataConfig = DataConfig()) -> tuple[str, str]:  # noqa: B008
    """The values of `--array_layout` and `--array_range`; a flag that was not given has the value in `defaults`."""
    args = flags.FLAGS
    return args.array_layout or defaults.array_layout, args.array_range or defaults.array_range


def define_run() -> None:
    """`--run_dir`, `--weights` and `--trust`, for all that takes a trained model; see `require_run`."""
    flags.DEFINE_string("run_dir", None, "folder of a trained run; this or --weights is required")
    flags.DEFINE_string("weights", None, "trained weights that come with the package, by their name, in place of a "
                        "run; --weights=help lists them")  # fmt: skip
    define_trust()


def define_trust(more: str = "") -> None:
    """`--trust`, for all that loads a run folder, and what `more` it is to a command."""
    flags.DEFINE_bool("trust", False, "the run is from whom you trust: it may ask for more memory than this machine "
                      f"has, and its own data are opened though it was made elsewhere{more}")  # fmt: skip


def require_run(*names: str) -> None:
    """Makes `--run_dir` the folder of the run or of the weights that were named, and requires further flags.

    Raises:
        UsageError: neither or both were named, there are no such weights, or another flag was not given.
    """
    from tfvideogan.weights import shipped

    args = flags.FLAGS
    if args.weights == "help":
        print(shipped.listing())
        sys.exit(0)
    if args.run_dir and args.weights:
        raise UsageError(f"--weights stands in place of --run_dir. Received both: {args.run_dir}, {args.weights}")
    if not (args.run_dir or args.weights):
        raise UsageError("--run_dir or --weights (--weights=help lists them) is required")
    require(*names)
    if args.weights:
        args.run_dir = str(shipped.path_of(args.weights))


def define_stage() -> None:
    """`--stage`, for all that takes a run folder and works on one stage of it."""
    flags.DEFINE_integer(
        "stage", None, "mdgan: 1 for the Base-Net alone (default: the last one trained)", lower_bound=1, upper_bound=2
    )


def define_timing() -> None:
    """`--repeats` and `--threads`, for all that times a network on one clip."""
    flags.DEFINE_integer("repeats", 20, "timed runs on one clip", lower_bound=1)
    flags.DEFINE_integer("threads", 2, "threads of each runtime", lower_bound=1)


def set_defaults(arguments: Sequence[str]) -> None:
    """Gives flags the values of `--name=value` arguments, except those that the user has given."""
    absent = [text for text in arguments if not flags.FLAGS[text[2:].partition("=")[0]].present]
    flags.FLAGS([sys.argv[0], *absent])


def require(*names: str) -> None:
    """Raises UsageError naming the first of these flags that was not given."""
    for name in names:
        if flags.FLAGS[name].value in (None, ""):
            raise UsageError(f"--{name} is required: {flags.FLAGS[name].help.removeprefix('required: ')}")


@contextlib.contextmanager
def naming(flag: str) -> Iterator[None]:
    """Puts the name of the flag before the error of a file that cannot be used."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"--{flag}: {error}") from error


def exit_on_sigterm() -> None:
    """Makes SIGTERM end this process as an error does, with status 143: folders half made are removed."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, _: FrameType | None) -> None:
    _ended_by.append(number)
    signal.signal(number, signal.SIG_IGN)  # Schedulers repeat the signal, and it must not interrupt the clean-up.
    sys.exit(128 + number)


def load_tensorflow(gpus: bool = False) -> None:
    """Imports TensorFlow and Keras without the notes that their C++ parts print at start-up.

    Commands call it in their main(), so that wrong flags are reported at once.

    Args:
        gpus: whether the command computes on GPUs, whose memory it then takes as it needs it, so that two processes can
            share a card. From other commands they are hidden: they hold no memory there, and an artefact is compared
            with float32 and not with TF32, in which newer cards multiply.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    gc.disable()  # Garbage would be sought among modules that stay: a fifth of the import, and a tenth of a short run.
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        show_notes = True
        try:
            tensorflow = importlib.import_module("tensorflow")
            importlib.import_module("keras")
            devices = tensorflow.config.list_physical_devices("GPU")
            # The notes say why TensorFlow cannot use a GPU that is there.
            show_notes = not devices and Path("/dev/nvidiactl").exists()
        finally:
            if show_notes:
                notes.seek(0)
                os.write(terminal, notes.read())
            os.dup2(terminal, 2)
            os.close(terminal)
            gc.freeze()
            gc.enable()
    absl_logging.set_verbosity(absl_logging.WARNING)  # The import of TensorFlow has raised it.
    if not gpus:
        tensorflow.config.set_visible_devices([], "GPU")
    for gpu in devices if gpus else []:
        tensorflow.config.experimental.set_memory_growth(gpu, True)


def _run(main: Callable[[], int | None]) -> int:
    _log_to_standard_error()
    try:
        return main() or 0
    except UsageError as error:
        return complain(str(error), error.status)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            raise
        return complain(str(error))
    except Exception as error:
        if _ended_by:  # C++ code has replaced the SystemExit of `_exit` by this error.
            return 128 + _ended_by[0]
        if not _is_of_remote_files(error):
            raise
        return complain(str(error))
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


def _is_unread() -> bool:
    """Whether standard output is a pipe whose reader is gone."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # Without events to wait for, only errors are reported.
    return bool(watch.poll(0))


def _is_of_remote_files(error: Exception) -> bool:
    """Whether an error is one that TensorFlow's file systems raise where the operating system would raise OSError."""
    names = {"NotFoundError", "PermissionDeniedError", "UnimplementedError", "FailedPreconditionError"}
    return type(error).__module__ == "tensorflow.python.framework.errors_impl" and type(error).__name__ in names


def _log_to_standard_error() -> None:
    """Logs this package's notes to standard error, one line each and above a progress bar."""
    handler = logging.StreamHandler()
    handler.emit = lambda record: tqdm.write(handler.format(record), file=sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger("tfvideogan").addHandler(handler)
    logging.getLogger("tfvideogan").setLevel(logging.INFO)
    logging.getLogger("tfvideogan").propagate = False


def _parse(arguments: list[str]) -> list[str]:
    try:
        flag_files.check_encoding(arguments[1:])
        rest = flags.FLAGS(flag_files.expand(arguments))
    except (flags.Error, UsageError) as error:
        sys.exit(complain(str(error)))
    except SystemExit:  # After it has printed its help, absl ends with status 1.
        sys.exit(0)
    if len(rest) > 1:
        sys.exit(complain(f"unexpected argument {rest[1]!r}; flags are written --name=value"))
    _expand_home()
    return rest


def _expand_home() -> None:
    """Replaces `~` in the values of flags and in their lists, since shells leave it alone behind `--name=`."""
    for flag in map(flags.FLAGS.__getitem__, flags.FLAGS):
        if isinstance(flag.value, str):
            flag.value = ",".join(map(os.path.expanduser, flag.value.split(",")))
        elif isinstance(flag.value, list):
            flag.value = list(map(os.path.expanduser, flag.value))


def complain(message: str, status: int = BAD_INPUT) -> int:
    """Prints a message as one line of standard error, the command's name before it. Returns the status."""
    command = Path(sys.argv[0]).stem
    print(f"{command}: error: {' '.join(message.split())}", file=sys.stderr)
    return status
