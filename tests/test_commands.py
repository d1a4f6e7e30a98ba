"""Every command as a user runs it: a process of its own, its files, its exit status, its one line of complaint."""

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import ROOT, tiny
from tests.helpers.command_case import TINY, CommandCase
from tests.helpers.commands import run
from tests.helpers.made_files import numbered, write_video
from tfvideogan import __version__

SIZE = {"vgan": 16, "vgan_conditional": 16, "mdgan": 32}


class CommandsTest(CommandCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
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
            versions = {"tfvideogan": __version__, "tensorflow": tf.__version__}
            self.assertEqual(line["versions"], line["versions"] | versions)
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

    def test_lists_leave_their_folder_for_preview_and_evaluate_if_allowed(self):
        secret, listed = self.runs / "private" / "secret.png", self.runs / "lists" / "train.txt"
        for path in (secret, listed):
            path.parent.mkdir()
        Image.fromarray(np.concatenate(np.full((4, 16, 16, 3), 50, np.uint8))).save(secret)
        listed.write_text("../private/secret.png")
        run_dir = tiny.run_folder(self.runs / "run", "vgan_conditional")
        shown = self.runs / "shown.npy"
        for command in (
            ["preview", f"--data={listed}", "--num_frames=4", "--frame_size=16", f"--output={shown}"],
            ["evaluate", f"--run_dir={run_dir}", f"--data={listed}"],
        ):
            with self.subTest(command[0]):
                refused = run(*command)
                self.assertEqual(refused.returncode, 2, refused.stderr)
                self.assertIn("outside of the folder of its list; train, preview, evaluate", refused.stderr)
                self.succeed(*command, "--allow_outside")
        self.assertAllEqual(np.load(shown), np.full((4, 16, 16, 3), 50))

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

    def test_wrong_folders_and_pictures_are_refused(self):
        empty = self.runs / "empty"
        empty.mkdir()
        still, vgan, mdgan = self.still(), f"--run_dir={self.runs / 'vgan'}", f"--run_dir={self.runs / 'mdgan'}"
        clip = self.runs / "never.mp4"
        predict = ("predict", f"--output={clip}")
        self.refuse("nothing usable", "train", f"--run_dir={self.runs / 'new'}", f"--data={empty}")
        self.refuse("tfvideogan.train", "generate", f"--run_dir={empty}")
        self.refuse("--eval_clips has no meaning without --eval_every", "train", vgan, "--eval_clips=8")
        self.refuse("--records has no meaning without --cores", "benchmark_loader", "--records=a*")
        self.refuse(
            "--num_clips has no meaning without --recalibrate_bn", "import_weights", "--num_clips=9", "--output=new"
        )
        self.refuse("--model=vgan", "train", vgan, "--model=mdgan", "--frame_size=32", *TINY)
        self.refuse("use tfvideogan.predict", "generate", mdgan)
        self.refuse("use tfvideogan.generate", *predict, vgan, f"--image={still}")
        self.refuse("--image: /no/such.jpg: no such file", *predict, mdgan, "--image=/no/such.jpg")
        self.refuse(f"--image: {'a' * 300}: File name too long", *predict, mdgan, f"--image={'a' * 300}")
        self.refuse("not a picture", *predict, mdgan, f"--image={ROOT / 'README.md'}")
        still.write_bytes(still.read_bytes()[:500])
        self.refuse("damaged picture", *predict, mdgan, f"--image={still}")
        self.assertFalse(clip.exists())
        self.assertFalse((self.runs / "new").exists())

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
