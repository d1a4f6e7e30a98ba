"""`prepare_data` as a user runs it: what it refuses, in one line and with nothing written."""

from pathlib import Path
from unittest import mock

from tests.data.case import SMALL, PrepareTest, files, prepared, tiny_inputs
from tests.helpers.commands import run
from tests.helpers.made_files import numbered, write_video
from tfvideogan import config
from tfvideogan import prepare_data as command
from tfvideogan.data import prepare, records


class PrepareDataTest(PrepareTest):
    def setUp(self):
        super().setUp()
        self.folder = tiny_inputs(self.root / "in", 3)

    def refuse(self, expected: str, *arguments: str, output: Path | str | None = None, works: bool = False) -> None:
        """Status 2, one line (behind a progress bar if it `works`), and nothing is written."""
        output = self.output if output is None else output
        with self.subTest(arguments=arguments):
            before = files(self.root)
            done = run("prepare_data", "--workers=1", *SMALL, *arguments, f"--output={output}")
            lines = [line for line in done.stderr.splitlines() if line]
            lines = [line for line in lines if not (works and line.startswith("preparing: "))]
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertLen(lines, 1, done.stderr)
            self.assertStartsWith(lines[0], "prepare_data: error: ")
            self.assertRegex(lines[0], expected)
            self.assertEqual(files(self.root), before)

    def test_a_run_that_is_not_refused(self):
        """This shows that what the other tests refuse is refused for its own fault."""
        done = run("prepare_data", f"--input={self.folder}", f"--output={self.output}", "--workers=1", *SMALL)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertStartsWith(done.stdout, "read      3 inputs")
        self.assertTrue((self.output / records.DATASET).exists())

    def test_folders_of_input_are_separated_by_commas_or_have_some(self):
        one = self.root / "one, and two"
        one.mkdir()
        self.assertEqual(command._folders(str(one)), [str(one)])
        self.assertEqual(command._folders("a,b"), ["a", "b"])
        self.assertEqual(command._folders(f'"{one}",b'), [str(one), "b"])
        self.assertLen(command._folders(",".join(["a" * 50] * 10)), 10)  # longer than a name may be
        for wrong in ("a,,b", ",", '"a'):
            with self.subTest(wrong), self.assertRaisesRegex(config.UsageError, f"--input.*Received: {wrong!r}"):
                command._folders(wrong)

    def test_flags(self):
        flag = f"--input={self.folder}"
        self.refuse("--input is required", "--frame_size=16")
        self.refuse("--output is required", flag, output="")
        for split in ("train", "train:1,test:0", "a b:1", "train:-1,test:2", "../x:1", "train:1,", "train:nan"):
            self.refuse("--split must be as train:0.9,test:0.1. Received: ", flag, f"--split={split}")
        for split in ("train:0.9", "train:0.9,test:0.2", "train:0.5,train:0.5"):
            self.refuse("--split must name each split once.*add up to 1. Received: ", flag, f"--split={split}")
        self.refuse("--frame_size must be a multiple of 16. Received: 24", flag, "--frame_size=24")
        self.refuse("65500 pixels.*512 x 128", flag, "--frame_size=512", "--num_frames=128")
        self.refuse("frame_size", flag, "--frame_size=0")
        self.refuse("num_frames", flag, "--num_frames=1")
        self.refuse("resize", flag, "--resize=stretch")
        self.refuse("encoding", flag, "--encoding=gif")
        self.refuse("stride", flag, "--stride=0")
        self.refuse("time_limit", flag, "--time_limit=0")
        self.refuse("workers", flag, "--workers=0")
        self.refuse("unexpected argument", flag, "more")

    def test_inputs(self):
        empty, bad = self.root / "empty", self.root / "bad"
        empty.mkdir()
        self.refuse("no such folder", f"--input={self.root / 'gone'}")
        self.refuse("nothing usable.*0 unusable inputs", f"--input={empty}")
        (empty / "link.mp4").symlink_to("nowhere")
        self.refuse("nothing usable.*\\(1 unusable input, the first: ", f"--input={empty}")
        bad.mkdir()
        (bad / "zero.mp4").touch()
        write_video(bad / "short.mp4", numbered(range(3)))
        self.refuse(r"none of 2 inputs gave a clip \(short.mp4: 3 frames.*zero.mp4: ", f"--input={bad}", works=True)
        twin = tiny_inputs(self.root / "elsewhere" / "in", 1)
        self.refuse("2 inputs have the name 'in/strip0x.png'", f"--input={self.folder},{twin}")

    def test_outputs(self):
        flag = f"--input={self.folder}"
        finished = self.root / "finished"
        prepared(finished, self.folder)
        self.refuse("already holds a data set", flag, output=finished)
        self.refuse("holds other files", flag, output=self.folder)
        self.refuse("no writable folder", flag, output=self.folder / "strip0x.png")
        self.refuse("no writable folder", flag, output=self.folder / "strip0x.png" / "out")

    def test_an_unfinished_job_of_other_options(self):
        flag = f"--input={self.folder}"
        with mock.patch.object(prepare, "_run", side_effect=SystemExit), self.assertRaises(SystemExit):
            prepared(self.output, self.folder, stride=4, splits=(("train", 0.9), ("test", 0.1)))
        self.refuse("unfinished job of other options", flag, "--frame_size=32")
        self.refuse("unfinished job of other options", flag, "--split=train:0.8,test:0.2")
        self.refuse("unfinished job of other options", flag, "--encoding=jpeg")
        (self.folder / "one more.mp4").touch()
        self.refuse("unfinished job of other options or inputs", flag)
        (self.folder / "one more.mp4").unlink()
        done = run("prepare_data", flag, f"--output={self.output}", "--workers=1", *SMALL)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("going on with the unfinished job", done.stderr)
