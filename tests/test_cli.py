"""What commands share: flags, help, the command of commands, signals and pipes."""

import os
import re
import signal
import subprocess
import sys
import textwrap

import tensorflow as tf

from tests.helpers import ROOT
from tests.helpers.command_case import CommandCase
from tests.helpers.commands import run
from tfvideogan import __version__, config

COMMANDS = ("train", "generate", "predict", "evaluate", "preview", "benchmark", "benchmark_loader", "prepare_data")
COMMANDS += ("verify_data", "import_weights", "classify", "experiments", "client")


class FlagsTest(CommandCase):
    def test_help_is_readable_and_complete(self):
        for command in COMMANDS:
            result = run(command, "--helpshort")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertLess(max(map(len, result.stdout.splitlines())), 121)
            self.assertNotIn("tf.", result.stdout)
        shown = set(re.findall(r"^  --(?:\[no\])?(\w+):", run("train", "--helpshort").stdout, re.MULTILINE))
        self.assertEqual(shown, {"run_dir", "config", "dry_run", "profile", *(field.name for field in config.fields())})

    def test_flags_override_a_packaged_config_wherever_they_stand(self):
        nowhere, file = f"--run_dir={self.runs / 'nowhere'}", self.runs / "of mdgan.flags"
        file.write_text("--model=mdgan\n")
        named, size = "--config=vgan_small", "--frame_size=48"
        for order in ([size, named], [named, size], [named, "--frame_size=64", size]):
            self.refuse("power of two from 16 to 512 pixels. Received: 48", "train", nowhere, *order)
        for order in ([named, f"--flagfile={file}"], [f"--flagfile={file}", named]):
            self.refuse("--mask_prior has no meaning for --model=mdgan", "train", nowhere, *order)
        self.refuse("--config must be help, or one of mdgan, mdgan_demo, ", "train", nowhere, "--config=vgan_smal")
        listed = self.succeed("train", "--config=help").splitlines()
        self.assertEqual([line.split()[0] for line in listed], sorted(f.stem for f in (ROOT / "configs").iterdir()))
        self.assertTrue(all(line.endswith(".") for line in listed))

    def test_wrong_flags_are_refused(self):
        nowhere = f"--run_dir={self.runs / 'nowhere'}"
        self.refuse("modle", "train", nowhere, "--modle=vgan")
        self.refuse("--run_dir is required", "train")
        self.refuse("steps", "train", nowhere, "--steps=many")
        self.refuse("--steps must be at least 1", "train", nowhere, "--steps=0")
        self.refuse("--frame_size must be a power of two", "train", nowhere, "--frame_size=48")
        self.refuse("--mask_prior has no meaning", "train", nowhere, "--model=mdgan", "--mask_prior=1")
        self.refuse("precision", "train", nowhere, "--precision=float8")
        self.refuse("flagfile", "train", nowhere, "--flagfile=configs/none.flags")
        utf_16 = self.runs / "notepad.flags"
        utf_16.write_text("--steps=3", encoding="utf-16")
        self.refuse(f"--flagfile must be a text file in UTF-8. Received: '{utf_16}'", "train", f"--flagfile={utf_16}")
        latin_1 = os.fsdecode(b"--data=/tmp/Gr\xf6\xdfe")
        self.refuse(f"arguments must be UTF-8. Received: {latin_1!r}", "train", nowhere, latin_1)
        self.refuse("unexpected argument", "train", nowhere, "steps=3")
        self.refuse("no such folder", "train", nowhere, "--data=/no/such/folder")
        self.refuse("no built-in clips", "train", nowhere, "--data=synthetic:rain")
        self.refuse("num_clips", "generate", nowhere, "--num_clips=0")
        self.refuse("--interpolate writes one walk", "generate", nowhere, "--interpolate=3", "--separate")
        self.refuse("--interpolate writes one walk", "generate", nowhere, "--interpolate=3", "--num_clips=1")
        self.refuse(".gif or .mp4 or .webp", "predict", nowhere, "--image=a.jpg", "--output=clip.avi")
        self.refuse("among", "benchmark", "--networks=none_such")
        self.assertFalse((self.runs / "nowhere").exists())

    def test_the_command_of_commands_runs_them_and_helps_with_names(self):
        def call(*arguments: str) -> subprocess.CompletedProcess:
            command = [sys.executable, "-X", "importtime", "-m", "tfvideogan", *arguments]
            result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            slow = re.compile(r"^import time:.*\| +(numpy|tensorflow|keras)$\n", re.MULTILINE)
            self.assertNotRegex(result.stderr, slow)
            result.stderr = re.sub(r"^import time:.*\n", "", result.stderr, flags=re.MULTILINE)
            return result

        listed = call()
        self.assertEqual((listed.returncode, listed.stderr), (0, ""))
        names = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
        self.assertContainsSubset([*COMMANDS, "export.all", "export.to_tflite"], names)
        self.assertEqual(call("--help").stdout, listed.stdout)
        self.assertEqual(call("--version").stdout, f"tfvideogan {__version__}\n")
        for name, hint in (("trian", "did you mean train?"), ("export", "did you mean export.all?"), ("--x", "lists")):
            wrong = call(name)
            self.assertEqual((wrong.returncode, wrong.stdout), (2, ""))
            self.assertRegex(
                wrong.stderr, rf"^tfvideogan: error: no command is called '{name}'; .*{re.escape(hint)}.*\n$"
            )
        told = call("train", "--steps=0", "--run_dir=x")
        self.assertEqual(told.returncode, 2)
        self.assertStartsWith(told.stderr, "train: error: --steps must be at least 1")


class EndsTest(CommandCase):
    def test_sigterm_within_code_that_changes_the_exception_is_still_143(self):
        code = """
            import os, signal, time
            from tfvideogan import cli
            def main():
                cli.exit_on_sigterm()
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(60)
                except SystemExit as error:  # as TensorFlow's C++ does it
                    raise RuntimeError("another in its place") from error
            cli.run(lambda: None, main)
        """
        result = self.run_code(code)
        self.assertEqual((result.returncode, result.stderr), (128 + signal.SIGTERM, ""))

    def test_a_crash_is_told_where_sigterm_was_ignored_from_the_start(self):
        result = self.run_code("""
            import signal
            from tfvideogan import cli
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            def main():
                raise RuntimeError("a fault")
            cli.run(lambda: None, main)
        """)  # fmt: skip
        self.assertEqual(result.returncode, 1)
        self.assertIn("RuntimeError: a fault", result.stderr)

    def test_a_reader_that_goes_away_is_no_error(self):
        talk = "from tfvideogan import cli; cli.run(lambda: None, lambda: print('a line\\n' * 10**6))"
        for command in (["-m", "tfvideogan"], ["-m", "tfvideogan.train", "--helpshort"], ["-c", talk]):
            for buffered in ("", "1"):
                process = subprocess.Popen(
                    [sys.executable, *command], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": buffered},
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                )  # fmt: skip
                process.stdout.close()
                self.assertEqual((process.stderr.read(), process.wait()), (b"", 128 + signal.SIGPIPE))
                process.stderr.close()

    def test_another_broken_pipe_is_one(self):
        result = self.run_code("""
            import os
            from tfvideogan import cli
            def main():
                reader, writer = os.pipe()
                os.close(reader)
                os.write(writer, b"x")
            cli.run(lambda: None, main)
        """)  # fmt: skip
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertIn("error: [Errno 32] Broken pipe", result.stderr)

    def run_code(self, code: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    tf.test.main()
