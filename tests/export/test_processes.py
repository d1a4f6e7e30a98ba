"""Commands in processes of their own: what the caller learns of their end, and that none is left behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from unittest import mock

import tensorflow as tf

from export import processes
from tfvideogan.config import UsageError
from tfvideogan.files import child


class ProcessesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        before = Path.cwd()
        os.chdir(self.folder)  # `python -m` finds modules in the current folder
        self.addCleanup(os.chdir, before)
        searched = mock.patch.dict(os.environ, {"PYTHONPATH": str(self.folder)})
        searched.start()
        self.addCleanup(searched.stop)

    def module(self, name: str, code: str) -> str:
        (self.folder / f"{name}.py").write_text(textwrap.dedent(code))
        return name

    def test_options_go_in_and_what_is_printed_comes_back(self):
        module = self.module("echo", "import sys; print(sys.argv[1:])")
        self.assertEqual(processes.run(module, stage=2, left_out=None), "['--stage=2']\n")

    def test_json_is_read_from_the_last_line(self):
        module = self.module("figures", "print('a note'); print('{\"p50_ms\": 2.5}')")
        self.assertEqual(processes.run_for_json(module), {"p50_ms": 2.5})

    def test_warnings_of_a_child_are_logged(self):
        module = self.module("warns", "import sys; print('WARNING: 3 left out\\nINFO: more', file=sys.stderr)")
        with self.assertLogs("tfvideogan.export", "WARNING") as logs:
            processes.run(module)
        self.assertEqual([record.getMessage() for record in logs.records], ["3 left out"])

    def test_an_error_gives_its_line_and_a_crash_is_logged_in_whole(self):
        module = self.module(
            "refuses", "import sys; print('INFO: x\\nrefuses: error: no such', file=sys.stderr); sys.exit(2)"
        )
        with self.assertNoLogs("tfvideogan.export"), self.assertRaisesRegex(UsageError, "^no such$"):
            processes.run(module)
        module = self.module("crashes", "raise ValueError('the cause\\nof it')")
        with self.assertLogs("tfvideogan.export", "ERROR") as logs, self.assertRaisesRegex(UsageError, "^of it$"):
            processes.run(module)
        self.assertIn("ValueError: the cause", logs.output[0])

    def test_an_export_py_in_the_current_folder_is_not_in_the_way(self):
        self.module("export", "raise RuntimeError('the file of the user')")
        with self.assertRaisesRegex(UsageError, "^--artefact is required"):
            processes.run("export.measure")

    def test_the_error_of_a_killed_child_names_the_signal(self):
        module = self.module("dies", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        with self.assertRaisesRegex(UsageError, "^ended by signal 9$"):
            processes.run(module)

    def test_a_child_may_remove_what_it_began_when_its_parent_is_ended(self):
        self.module("child", """
            import pathlib, time
            from tfvideogan import cli
            cli.exit_on_sigterm()
            begun = pathlib.Path("begun")
            begun.mkdir()
            try:
                time.sleep(60)
            finally:
                begun.rmdir()
        """)  # fmt: skip
        parent = (
            "from export import processes; from tfvideogan import cli; cli.exit_on_sigterm(); processes.run('child')"
        )
        environment = os.environ | {"PYTHONPATH": f"{child.ROOT}:{self.folder}"}
        process = subprocess.Popen([sys.executable, "-c", parent], env=environment)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 60
        while not (self.folder / "begun").exists():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.terminate()
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM)
        self.assertFalse((self.folder / "begun").exists())


if __name__ == "__main__":
    tf.test.main()
