"""The package as it is installed: built from a copy of the tree, and run by its console command far from the tree.

The environment is new and holds the wheel. Its dependencies are those of the running environment, or, with
FULL_INSTALL=1 (`make test-package`), downloaded as for a user, which takes minutes.
"""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

import tfvideogan
from tests.helpers import ROOT, folders

FULL = os.environ.get("FULL_INSTALL") == "1"
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{}(sys.argv[1]))"
TINY = ["--frame_size=16", "--num_frames=4", "--base_width=2", "--batch_size=2", "--steps=2"]


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess:
    """A command that must not see the tree: neither by its folder, nor by PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def succeed(*command: object, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    if done.returncode:
        raise AssertionError(f"{command} ended with status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class PackageTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = folders.of_class(cls, "tfvideogan-package-")
        tree = folder / "tree"
        ignored = shutil.ignore_patterns(
            ".git", ".venv*", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "runs", "records", "exported"
        )
        shutil.copytree(ROOT, tree, ignore=lambda at, names: ignored(at, names) if Path(at) == ROOT else [])
        sdist = cls.build("sdist", tree, folder)
        with tarfile.open(sdist) as archive:
            cls.in_sdist = {name.partition("/")[2] for name in archive.getnames()}
            archive.extractall(folder, filter="data")
        cls.wheel = cls.build("wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)
        cls.bin = cls.install(folder / "environment")

    @classmethod
    def build(cls, kind: str, tree: Path, folder: Path) -> Path:
        return folder / succeed(sys.executable, "-c", BUILD.format(kind), folder, cwd=tree).split()[-1]

    @classmethod
    def install(cls, environment: Path) -> Path:
        """Makes the environment; returns the folder of its commands."""
        folder = environment.parent
        succeed(sys.executable, "-m", "venv", *([] if FULL else ["--without-pip"]), environment, cwd=folder)
        python = environment / "bin" / "python"
        if FULL:
            options = ["-c", ROOT / "constraints.txt", f"{cls.wheel}[export]"]
            succeed(python, "-m", "pip", "install", "-q", *options, cwd=folder)
        else:
            options = ["-q", "--no-deps", "--no-index", cls.wheel]
            succeed(sys.executable, "-m", "pip", f"--python={python}", "install", *options, cwd=folder)
            (libraries,) = environment.glob("lib/python*/site-packages")
            borrowed = [path for path in sys.path if path.endswith("site-packages")]
            (libraries / "borrowed.pth").write_text("\n".join(borrowed))
        return environment / "bin"

    def setUp(self):
        super().setUp()
        self.work = Path(self.create_tempdir().full_path)

    def tfvideogan(self, *arguments: object) -> str:
        return succeed(self.bin / "tfvideogan", *arguments, cwd=self.work)

    def test_nothing_is_imported_from_the_tree(self):
        code = "import tfvideogan, export; print(tfvideogan.__file__, export.__file__)"
        for file in succeed(self.bin / "python", "-c", code, cwd=self.work).split():
            self.assertStartsWith(file, str(self.bin.parent))

    def test_from_a_packaged_config_to_clips_and_an_export_beside_the_users_own_export_py(self):
        (self.work / "export.py").write_text("raise RuntimeError('the file of the user was imported')")
        self.tfvideogan("train", "--config=vgan_small", "--run_dir=run", *TINY)
        self.tfvideogan("generate", "--run_dir=run", "--num_clips=1", "--output=clips")
        self.assertTrue((self.work / "clips" / "clip.gif").exists())
        self.tfvideogan(
            "export.all", "--run_dir=run", "--output=exported", "--formats=tflite", "--precisions=float32",
            "--repeats=1",
        )  # fmt: skip
        self.assertTrue((self.work / "exported" / "vgan_float32.tflite").exists())

    def test_weights_that_come_with_it_move_a_picture(self):
        Image.new("RGB", (90, 60), (90, 130, 200)).save(self.work / "photo.jpg")
        self.tfvideogan(
            "predict", "--weights=mdgan-skies-64", "--image=photo.jpg", "--wind=0.01,0", "--size=picture",
            "--output=clip.npy",
        )  # fmt: skip
        self.assertEqual(np.load(self.work / "clip.npy").shape, (32, 60, 90, 3))

    def test_the_console_command_lists_the_commands_and_tells_the_version(self):
        self.assertEqual(self.tfvideogan("--version"), f"tfvideogan {tfvideogan.__version__}\n")
        listed = self.tfvideogan()
        self.assertIn("  train ", listed)
        self.assertIn("  export.to_tflite ", listed)

    def test_an_install_line_is_that_of_the_package_index(self):
        code = "from tfvideogan.files import optional; optional.package('none_such', 'NoneSuch', 'data')"
        told = run(self.bin / "python", "-c", code, cwd=self.work).stderr.splitlines()[-1]
        self.assertEndsWith(told, "UsageError: NoneSuch is not installed: pip install 'tfvideogan[data]'")

    def test_the_wheel_holds_configs_weights_and_licence_and_no_test(self):
        with zipfile.ZipFile(self.wheel) as wheel:
            names = set(wheel.namelist())
        configs = {f"tfvideogan/configs/{path.name}" for path in (ROOT / "configs").iterdir()}
        modules = {
            str(path.relative_to(ROOT)) for room in ("tfvideogan", "export") for path in (ROOT / room).rglob("*.py")
        }
        weights = (ROOT / "tfvideogan" / "weights").glob("*/**/*")
        weights = {str(path.relative_to(ROOT)) for path in weights if path.suffix in (".json", ".md", ".npz")}
        self.assertNotEmpty(weights)
        page = {str(path.relative_to(ROOT)) for path in (ROOT / "tfvideogan" / "web").glob("*.*")}
        self.assertContainsSubset({"tfvideogan/web/index.html", "tfvideogan/web/page.js"}, page)
        expected = configs | modules | weights | page | {"tfvideogan/py.typed"}
        information = f"tfvideogan-{tfvideogan.__version__}.dist-info/"
        self.assertEqual({name for name in names if not name.startswith(information)}, expected)
        self.assertIn(f"{information}licenses/LICENSE", names)

    def test_the_package_index_shows_links_that_lead_somewhere(self):
        with zipfile.ZipFile(self.wheel) as wheel:
            metadata = email.message_from_bytes(wheel.read(f"tfvideogan-{tfvideogan.__version__}.dist-info/METADATA"))
        self.assertEqual(metadata["License-Expression"], "Apache-2.0")
        links = re.findall(r"]\(([^)]+)\)", metadata.get_payload())
        self.assertNotEmpty(links)
        for link in links:
            self.assertStartsWith(link, "https://")
            here = re.fullmatch(re.escape(metadata["Home-page"]) + r"/(?:raw|blob)/main/([^#]+).*", link)
            if here:
                self.assertTrue((ROOT / here[1]).exists(), link)

    def test_the_sdist_holds_what_building_testing_and_reading_take(self):
        for folder in ("configs", "docs", "tests", "tfvideogan", "export"):
            files = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc"}
            self.assertEmpty({name for name in files if (ROOT / name).is_file()} - self.in_sdist)
        self.assertContainsSubset(
            {"Makefile", "constraints.txt", "constraints-io.txt", "pyproject.toml", "README.md", "LICENSE", ".ci/run"},
            self.in_sdist,
        )


if __name__ == "__main__":
    tf.test.main()
