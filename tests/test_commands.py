"""Every command as a user runs it: a process of its own, its files, its exit status, its one line of complaint."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import ROOT, folders
from tests.helpers.commands import Command, run
from tests.helpers.made_files import numbered, write_video
from tfvideogan import __version__, config, prepare_data

TINY = ["--base_width=2", "--num_frames=4", "--batch_size=4", "--init_stddev=0.1"]
COMMANDS = ("train", "generate", "predict", "evaluate", "preview", "benchmark", "benchmark_loader", "prepare_data")
COMMANDS += ("verify_data", "import_weights", "classify", "experiments", "client")
SIZE = {"vgan": 16, "vgan_conditional": 16, "mdgan": 32}


class CommandsTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.runs = folders.of_class(cls, "tfvideogan commands é ")
        for model in SIZE:
            cls.train(model)

    @classmethod
    def train(cls, model: str, *more: str) -> subprocess.CompletedProcess:
        stages = ["--refine_steps=2"] if model == "mdgan" else []
        size = f"--frame_size={SIZE[model]}"
        result = run(
            "train", f"--model={model}", f"--run_dir={cls.runs / model}", "--steps=3", size, *stages, *TINY, *more
        )
        if result.returncode:
            raise AssertionError(result.stderr)
        return result

    def succeed(self, command: str, *arguments: str) -> str:
        result = run(command, *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def refuse(self, expected: str, command: str, *arguments: str) -> None:
        """The command exits with status 2 and one line of standard error that holds `expected`."""
        with self.subTest(command=command, expected=expected):
            result = run(command, *arguments)
            lines = [line for line in result.stderr.splitlines() if not line.startswith("INFO:")]
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertLen(lines, 1, result.stderr)
            self.assertIn(expected, lines[0])
            self.assertStartsWith(lines[0], f"{command}: error: ")
            self.assertEqual(result.stdout, "")

    def still(self, size: int = 40) -> Path:
        path = self.runs / "still picture.jpg"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, [size, 2 * size, 3], np.uint8)).save(path)
        return path

    def test_generate_writes_a_grid_of_every_stream(self):
        output = self.runs / "generated"
        run_dir = f"--run_dir={self.runs / 'vgan'}"
        self.succeed("generate", run_dir, "--num_clips=5", "--seed=1", f"--output={output}")
        names = {path.name for path in output.iterdir()}
        self.assertEqual(names, {"clip.gif", "foreground.gif", "mask.gif", "masked_foreground.gif", "background.png"})
        with Image.open(output / "clip.gif") as gif:
            self.assertEqual((gif.n_frames, gif.size), (4, (3 * 66, 2 * 66)))  # 16 pixels four times, a gap
        again, movies = self.runs / "again", self.runs / "movies"
        self.succeed("generate", run_dir, "--num_clips=5", "--seed=1", f"--output={again}")
        self.assertEqual((again / "clip.gif").read_bytes(), (output / "clip.gif").read_bytes())
        self.succeed("generate", run_dir, "--num_clips=1", "--format=mp4", f"--output={movies}")
        with av.open(str(movies / "clip.mp4")) as container:
            self.assertLen(list(container.decode(video=0)), 4)
        for kind in ("png", "npy"):
            self.succeed("generate", run_dir, "--num_clips=2", "--separate", f"--format={kind}", f"--output={movies}")
            self.assertLen(list(movies.glob(f"clip-000?.{kind}")), 2)
        with Image.open(movies / "clip-0001.png") as strip:
            self.assertAllEqual(np.reshape(strip, [4, 16, 16, 3]), np.load(movies / "clip-0001.npy"))
        self.succeed("generate", run_dir, "--num_clips=2", "--interpolate=5", "--format=webp", f"--output={movies}")
        with Image.open(movies / "walk.webp") as moving:
            self.assertEqual((moving.n_frames, moving.size), (10, (16, 16)))

    def test_predict_takes_a_folder_of_pictures_and_gives_each_its_own_shape(self):
        photos, clips = self.runs / "photos", self.runs / "clips"
        photos.mkdir()
        for name, size in (("a.jpg", (40, 30)), ("b.png", (20, 50))):
            Image.new("RGB", size, (30, 90, 200)).save(photos / name)
        predict = ["predict", f"--run_dir={self.runs / 'mdgan'}", f"--image={photos}", f"--output={clips}"]
        out = self.succeed(*predict, "--format=npy", "--size=picture", "--seconds=0.5")
        self.assertIn("2 pictures", out)
        shapes = [np.load(clips / name).shape for name in ("a.npy", "b.npy")]
        self.assertEqual(shapes, [(6, 30, 40, 3), (6, 50, 20, 3)])
        (photos / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (clips / "a.npy").unlink()
        done = run(*predict, "--format=npy")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"ERROR: --image: .*damaged.png: not a picture")
        self.assertRegex(done.stdout, r", \d+ of \d+ pictures: ")
        self.assertTrue((clips / "a.npy").exists())
        (photos / "damaged.png").unlink()
        self.refuse("--sheet is for one picture", *predict, "--sheet=sheet.png")
        self.refuse("needs --fit=squash", *predict, "--real=a.mp4", "--wind=measured", "--fit=crop")
        self.refuse("--scale is for --size=model", *predict, "--size=picture", "--scale=2")
        self.refuse("--format is for a folder", *predict[:2], f"--image={photos / 'a.jpg'}", "--output=a.gif",
                    "--format=gif")  # fmt: skip
        Image.new("RGB", (9, 9)).save(photos / "a.bmp")
        self.refuse("would be written to", *predict)
        for photo in photos.iterdir():
            photo.unlink()
        self.refuse("no picture in", *predict)

    def test_predict_writes_a_clip_and_a_comparison_sheet(self):
        still = self.still()
        for stage in (1, 2):
            clip, sheet = self.runs / f"clip{stage}.mp4", self.runs / f"sheet{stage}.png"
            self.succeed(
                "predict", f"--run_dir={self.runs / 'mdgan'}", f"--image={still}", f"--output={clip}",
                f"--sheet={sheet}", f"--stage={stage}", *([f"--real={self.runs / 'clip1.mp4'}"] if stage == 2 else []),
            )  # fmt: skip
            with av.open(str(clip)) as container:
                self.assertEqual([(f.width, f.height) for f in container.decode(video=0)], [(32, 32)] * 4)
        heights = [np.asarray(Image.open(self.runs / f"sheet{stage}.png")).shape[0] for stage in (1, 2)]
        self.assertEqual(heights, [24 + 2 * 130, 24 + 4 * 130])  # input, stage 1; and stage 2, real
        gif = self.runs / "clip.gif"
        self.succeed(
            "predict", f"--run_dir={self.runs / 'vgan_conditional'}", f"--image={still}", f"--output={gif}",
            "--batch_statistics",
        )  # fmt: skip
        with Image.open(gif) as picture:
            self.assertEqual((picture.n_frames, picture.size), (4, (16, 16)))

    def test_evaluate_prints_one_json_line_with_its_provenance(self):
        for model, scored in {
            "mdgan": {"persistence", "stage_1", "stage_2"},
            "vgan_conditional": {"persistence", "stage_1"},
            "vgan": {"generated", "real"},
        }.items():
            out = self.succeed("evaluate", f"--run_dir={self.runs / model}", "--num_clips=3")
            self.assertLen(out.splitlines(), 1)
            line = json.loads(out)
            self.assertEqual(set(line["scores"]), scored)
            self.assertEqual((line["model"], line["num_clips"]), (model, 3))
            self.assertEndsWith(line["data"], ":test")
            self.assertLen(line["weights_sha256"], 64)
            self.assertEqual(line["protocol"]["data_range"], 2.0)
            self.assertEqual(line["versions"]["tensorflow"], tf.__version__)
            if model == "vgan":
                self.assertIn("mask_iou_truth", line["scores"]["real"])
        out = self.succeed(
            "evaluate", f"--run_dir={self.runs / 'vgan_conditional'}", "--num_clips=2", "--data=synthetic:sprites:test",
            "--rollout_frames=9",
        )  # fmt: skip
        self.assertIn("mask_iou_truth", json.loads(out)["scores"]["stage_1"])
        self.assertEqual(json.loads(out)["rollout"]["frames"], 9)
        for model, message in (("vgan", "is for predictors"), ("mdgan", "must be more than the 4")):
            run_dir = f"--run_dir={self.runs / model}"
            self.refuse(f"--rollout_frames {message}", "evaluate", run_dir, "--rollout_frames=4")

    def test_a_run_with_drift_from_training_to_scores(self):
        run_dir, options = self.runs / "drift", ["--residual", "--drift=fused", "--ema=0.5", "--init_stddev=0.02"]
        train = ["train", f"--run_dir={run_dir}", "--model=mdgan", "--frame_size=32", "--steps=2", "--refine_steps=0"]
        self.succeed(*train, *TINY, *options)
        self.refuse("holds a run with --drift=fused", *train, *TINY, "--drift=off", *options[:1], *options[2:])
        still = self.still()
        predict = ["predict", f"--run_dir={run_dir}", f"--image={still}"]
        made = {}
        for name, wind in (("default", []), ("left", ["--wind=-0.1,0"]), ("none", ["--wind=0,0"])):
            clip, sheet = self.runs / f"{name}.mp4", self.runs / f"{name}.png"
            out = self.succeed(*predict, f"--output={clip}", f"--sheet={sheet}", *wind)
            made[name] = np.asarray(Image.open(sheet), int)
            self.assertIn({"default": "wind 0.0050,0.0000", "left": "wind -0.1000,0.0000"}.get(name, "wind 0.0"), out)
        self.assertGreater(np.abs(made["left"] - made["none"]).mean(), 5)
        real = ["--wind=measured", f"--real={self.runs / 'left.mp4'}"]
        self.assertRegex(
            self.succeed(*predict, f"--output={self.runs / 'm.gif'}", *real), r", wind -0\.0\d+,-?0\.0\d+: "
        )
        never = f"--output={self.runs / 'never.gif'}"
        for wrong in ("fast", "1", "1,2,3", "nan,0", "1.5,0", ""):
            self.refuse("--wind must be measured, or DX,DY", *predict, never, f"--wind={wrong}")
        self.refuse("--wind=measured needs --real", *predict, never, "--wind=measured")
        mdgan = ["predict", f"--run_dir={self.runs / 'mdgan'}", f"--image={still}", never]
        self.refuse("--wind is for runs trained with --drift", *mdgan, "--wind=0.1,0")
        self.assertFalse((self.runs / "never.gif").exists())
        line = json.loads(self.succeed("evaluate", f"--run_dir={run_dir}", "--num_clips=3"))
        self.assertEqual(set(line["scores"]), {"persistence", "moved_frame", "stage_1"})
        self.assertIn("given", line["protocol"]["wind"])

    def test_preview_shows_the_clips_of_a_folder(self):
        folder, gif = self.runs / "made", self.runs / "preview.gif"
        for index in range(2):
            self.succeed(
                "preview",
                "--num_clips=1",
                "--num_frames=8",
                f"--first_clip={index}",
                f"--output={folder / f'{index}.mp4'}",
            )
        out = self.succeed("preview", f"--data={folder}", "--num_frames=4", "--frame_size=16", f"--output={gif}")
        self.assertStartsWith(out, "4 clips")
        with Image.open(gif) as picture:
            self.assertEqual((picture.n_frames, picture.size), (4, (2 * 66, 2 * 66)))
        self.succeed("preview", "--num_clips=1", f"--output={self.runs / 'still.png'}", "--frame_size=32")
        self.assertEqual(Image.open(self.runs / "still.png").size, (32, 32))

    def test_benchmark_reports_every_network_asked_for(self):
        out = self.succeed(
            "benchmark",
            "--networks=vgan_two_stream",
            "--models=mdgan",
            "--base_width=1",
            "--batch_size=1",
            "--repeats=1",
            "--precision=both",
        )
        for dtype, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16")):
            self.assertRegex(out, rf"matrix product: \d+ GFLOP/s in {dtype}; networks in {policy}\n")
        for label in ("vgan_two_stream, forward", "mdgan stage 1, train", "mdgan stage 2, train"):
            self.assertEqual(out.count(label), 2)

    def test_from_videos_to_records_to_a_scored_run(self):
        for index in range(12):
            frames = numbered(np.arange(index % 3, index % 3 + 8))
            write_video(self.runs / "raw, at once" / f"video {index}.mp4", frames)
        sizes = ("--frame_size=16", "--num_frames=4")
        report = self.succeed(
            "prepare_data", f"--input={self.runs / 'raw, at once'}", f"--output={self.runs / 'set'}",
            "--split=train:0.7,test:0.3", "--workers=1", *sizes,
        )  # fmt: skip
        self.assertIn("12 used, 0 rejected", report)
        self.assertIn("0 problems", self.succeed("verify_data", f"--data={self.runs / 'set'}"))
        self.succeed(
            "train", "--model=vgan", f"--run_dir={self.runs / 'of records'}", "--steps=2", "--flip", *sizes, *TINY,
            f"--data={self.runs / 'set'}@0.8,synthetic:sprites@0.2",
        )  # fmt: skip
        line = json.loads(
            self.succeed("evaluate", f"--run_dir={self.runs / 'of records'}", f"--data={self.runs / 'set' / 'test'}")
        )
        self.assertEqual(line["split"], "test")
        self.assertIn(f"test: {line['num_clips']} clips", report)

    def test_benchmark_loader_reports_both_sizes_on_one_core_and_on_all(self):
        out = self.succeed("benchmark_loader", "--steps=0", "--repeats=1", "--num_clips=4", "--timed_clips=64")
        rows = re.findall(r"(64|128) x \1, jpeg +(\d+) +(\d+)", out)
        cores = len(os.sched_getaffinity(0))
        self.assertEqual(
            [(size, int(n)) for size, n, _ in rows], [(s, n) for s in ("64", "128") for n in sorted({1, cores})]
        )
        self.assertGreater(min(int(rate) for _, _, rate in rows), 0)

    def test_training_again_goes_on_and_ctrl_c_leaves_a_checkpoint(self):
        run_dir = self.runs / "interrupted"
        arguments = [f"--run_dir={run_dir}", "--steps=100000", "--frame_size=16", "--sample_every=100000",
                     "--checkpoint_every=10", *TINY]  # fmt: skip
        process = Command("train", *arguments)
        early = run_dir / "checkpoints" / "stage1-step00000010"
        deadline = time.monotonic() + 120
        while not early.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertTrue(early.exists())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130, process.err)
        self.assertNotIn("Traceback", process.err)
        newest = max(int(path.name[-8:]) for path in (run_dir / "checkpoints").iterdir())
        self.assertGreater(newest, 10)
        result = run("train", *[*arguments[:1], f"--steps={newest + 2}", *arguments[2:]])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"goes on from step {newest}", result.stderr)

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

    def run_code(self, code: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

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

    def test_folders_of_input_are_separated_by_commas_or_have_some(self):
        one = self.runs / "one, and two"
        one.mkdir()
        self.assertEqual(prepare_data._folders(str(one)), [str(one)])
        self.assertEqual(prepare_data._folders("a,b"), ["a", "b"])
        self.assertEqual(prepare_data._folders(f'"{one}",b'), [str(one), "b"])
        self.assertLen(prepare_data._folders(",".join(["a" * 50] * 10)), 10)  # longer than a name may be
        for wrong in ("a,,b", ",", '"a'):
            with self.subTest(wrong), self.assertRaisesRegex(config.UsageError, f"--input.*Received: {wrong!r}"):
                prepare_data._folders(wrong)

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

    def test_wrong_folders_and_pictures_are_refused(self):
        empty = self.runs / "empty"
        empty.mkdir()
        still, vgan, mdgan = self.still(), f"--run_dir={self.runs / 'vgan'}", f"--run_dir={self.runs / 'mdgan'}"
        clip = self.runs / "never.mp4"
        predict = ("predict", f"--output={clip}")
        self.refuse("nothing usable", "train", f"--run_dir={self.runs / 'new'}", f"--data={empty}")
        self.refuse("tfvideogan.train", "generate", f"--run_dir={empty}")
        self.refuse("--model=vgan", "train", vgan, "--model=mdgan", "--frame_size=32", *TINY)
        self.refuse("use tfvideogan.predict", "generate", mdgan)
        self.refuse("use tfvideogan.generate", *predict, vgan, f"--image={still}")
        self.refuse("--image: /no/such.jpg: no such file", *predict, mdgan, "--image=/no/such.jpg")
        self.refuse("not a picture", *predict, mdgan, f"--image={ROOT / 'README.md'}")
        still.write_bytes(still.read_bytes()[:500])
        self.refuse("damaged picture", *predict, mdgan, f"--image={still}")
        self.assertFalse(clip.exists())
        self.assertFalse((self.runs / "new").exists())

    def test_a_corrupt_checkpoint_is_refused_and_left_as_it_is(self):
        run_dir = self.runs / "corrupt"
        result = run("train", f"--run_dir={run_dir}", "--steps=2", "--frame_size=16", *TINY)
        self.assertEqual(result.returncode, 0, result.stderr)
        damaged = list(run_dir.glob("checkpoints/*/variables.data*"))
        self.assertLen(damaged, 2)  # of before the first step, and of the last
        for data in damaged:
            content = bytearray(data.read_bytes())
            content[len(content) // 2] ^= 1
            data.write_bytes(content)
        before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
        for command, more in (("generate", []), ("evaluate", []), ("train", ["--steps=4", "--frame_size=16", *TINY])):
            result = run(command, f"--run_dir={run_dir}", *more)
            self.assertEqual(result.returncode, 3, result.stderr)
            self.assertNotIn("Traceback", result.stderr)
            self.assertIn("does not match its SHA-256", result.stderr)
            self.assertIn("damaged", result.stderr.splitlines()[-1])
        self.assertEqual(before, {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()})

    def test_outputs_that_cannot_be_written_are_refused_before_anything_is(self):
        taken, clip = self.runs / "taken.mp4", self.runs / "half.mp4"
        taken.mkdir()
        mdgan, vgan, image = (
            f"--run_dir={self.runs / 'mdgan'}",
            f"--run_dir={self.runs / 'vgan'}",
            f"--image={self.still()}",
        )
        self.refuse("--output", "predict", mdgan, image, "--output=/dev/null/clip.mp4")
        self.refuse("folder", "predict", mdgan, image, f"--output={taken}")
        self.refuse("--sheet", "predict", mdgan, image, f"--output={clip}", "--sheet=/dev/null/sheet.png")
        self.refuse("--output", "generate", vgan, "--output=/dev/null/clips")
        self.refuse("--output", "preview", f"--output={taken}")
        self.refuse("--run_dir", "train", "--run_dir=/dev/null/run")
        self.assertFalse(clip.exists())

    def test_a_resume_that_is_refused_leaves_the_options_as_they_were(self):
        options = self.runs / "vgan" / "config.json"
        before = options.read_bytes()
        run_dir = f"--run_dir={self.runs / 'vgan'}"
        self.refuse("--steps", "train", run_dir, "--frame_size=16", "--steps=99999999999999999999", *TINY)
        self.assertEqual(options.read_bytes(), before)


if __name__ == "__main__":
    tf.test.main()
