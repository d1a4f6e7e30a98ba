"""Who may import whom: downward only, as BUILD.md draws it; and that BUILD.md draws all there is. Nothing is run."""

import ast
import re
from pathlib import Path

import tensorflow as tf

from tests.helpers import ROOT
from tests.helpers.commands import run

LIBRARY = ROOT / "tfvideogan"
MOST_LINES = 250  # A longer module has its reason in BUILD.md.
# A file directly in `tfvideogan/` is a command, or one of what every room may use.
COMMANDS = {
    "train",
    "generate",
    "predict",
    "evaluate",
    "preview",
    "prepare_data",
    "verify_data",
    "benchmark",
    "client",
    "import_weights",
    "benchmark_loader",
    "classify",
    "experiments",
    "demo",
}
FOR_ALL = {"config", "losses"}
# A room may import from the rooms below it, and from itself.
FLOORS = [
    FOR_ALL,
    {"files"},
    {"models", "data", "metrics", "weights"},
    {"runs"},
    {"inference"},
    {"training", "web"},
    {"cli"},
    COMMANDS,
    {"__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def imports(path: Path) -> set[str]:
    """The dotted names of this project's modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] in ("tfvideogan", "export")}


def part(name: str) -> str | None:
    """`tfvideogan.models.vgan.VGAN` -> `models`."""
    pieces = name.split(".")
    return pieces[1] if len(pieces) > 1 else None


class ImportsTest(tf.test.TestCase):
    def test_every_module_has_a_floor(self):
        parts = {path.relative_to(LIBRARY).parts[0] for path in LIBRARY.rglob("*.py")}
        self.assertEqual({name.removesuffix(".py") for name in parts} - {"__init__"}, set(FLOOR))

    def test_imports_go_down(self):
        for path in sorted(LIBRARY.rglob("*.py")):
            own = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
            if own == "__init__":
                continue
            for name in imports(path):
                other = part(name)
                if other is None or other == own or other not in FLOOR:
                    continue
                self.assertLess(FLOOR[other], FLOOR[own], f"{path.relative_to(ROOT)} imports {name}")

    def test_importing_leaves_tensorflow_unconfigured(self):
        """Several hosts configure TensorFlow first of all, which a tensor that is made on import would forbid."""
        folder = Path(self.create_tempdir().full_path)
        names = [str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in LIBRARY.rglob("*.py")]
        lines = [f"import {name.removesuffix('.__init__')}" for name in names if "__main__" not in name]
        lines += ["import tensorflow as tf", "cpu = tf.config.list_physical_devices('CPU')[0]"]
        lines += ["tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)"]
        (folder / "imports.py").write_text("\n".join(lines))
        result = run("imports", package="", folder=folder, search=folder)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_library_never_imports_export(self):
        for path in LIBRARY.rglob("*.py"):
            self.assertEmpty([name for name in imports(path) if name.startswith("export")], path)

    def test_config_needs_the_standard_library_only(self):
        tree = ast.parse((LIBRARY / "config.py").read_text())
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        self.assertEqual(names, {"__future__", "collections.abc", "dataclasses", "typing"})

    def test_export_uses_the_library_below_its_commands(self):
        for path in (ROOT / "export").glob("*.py"):
            self.assertEmpty({part(name) for name in imports(path)} & COMMANDS, path)

    def test_no_relative_imports(self):
        for path in LIBRARY.rglob("*.py"):
            relative = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.level]
            self.assertEmpty(relative, path)

    def test_importing_defines_no_flag(self):
        for path in [*LIBRARY.rglob("*.py"), *(ROOT / "export").glob("*.py")]:
            top_level = [n for n in ast.parse(path.read_text()).body if not isinstance(n, ast.FunctionDef | ast.If)]
            self.assertNotIn("DEFINE_", "".join(map(ast.unparse, top_level)), path)

    def test_no_export_script_bears_the_name_of_a_package(self):
        names = {path.stem for path in (ROOT / "export").glob("*.py")}
        self.assertEmpty(names & {"onnx", "tensorflow", "keras", "tf2onnx", "tflite", "numpy"})


class BuildTest(tf.test.TestCase):
    """BUILD.md shows a newcomer where everything is."""

    def test_the_figure_has_every_module(self):
        figure = (ROOT / "BUILD.md").read_text().partition("## The rooms")[2].split("```")[1]
        modules = {path.stem for path in LIBRARY.rglob("*.py") if not path.stem.startswith("__")}
        rooms = {path.name for path in LIBRARY.rglob("*") if (path / "__init__.py").exists()}
        self.assertEmpty((modules | rooms) - set(re.findall(r"\w+", figure)))

    def test_long_modules_have_a_reason(self):
        rows = re.findall(r"^\| (`.+\.py`) \|", (ROOT / "BUILD.md").read_text(), re.MULTILINE)
        reasons = {f"tfvideogan/{name}" for row in rows for name in re.findall(r"[\w/]+\.py", row)}
        modules = [*LIBRARY.rglob("*.py"), *(ROOT / "export").glob("*.py")]
        lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules}
        self.assertEqual({name for name, length in lengths.items() if length > MOST_LINES}, reasons)


if __name__ == "__main__":
    tf.test.main()
