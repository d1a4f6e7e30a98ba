"""Remote paths: s3:// by tensorflow-io, against a real server on this machine. `make test-io` runs them."""

import io
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers import ROOT
from tests.helpers.made_files import numbered, write_pictures, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.synthetic import Sprites
from tfvideogan.files import optional, paths, pictures

WITH_IO = optional.has_tensorflow_io()
TINY = ["--model=vgan", "--frame_size=16", "--num_frames=4", "--base_width=2", "--batch_size=2", "--steps=2"]


class WithoutTensorflowIoTest(tf.test.TestCase):
    def test_the_error_says_which_versions_would_do(self):
        if WITH_IO:
            self.skipTest("tensorflow-io is installed here")
        with self.assertRaisesRegex(UsageError, r"tensorflow-io 0\.37\.1.*TensorFlow 2\.16.*pip install .*\[io\]'"):
            paths.path("s3://bucket/folder")


class S3Test(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not WITH_IO:
            return
        import boto3

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        cls.server = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(cls.server.wait)
        cls.addClassCleanup(cls.server.kill)
        endpoint = f"http://127.0.0.1:{port}"
        os.environ |= {"S3_ENDPOINT": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        os.environ |= {"AWS_REGION": "us-east-1", "AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "1"}
        for _ in range(150):
            try:
                boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="bucket")
                return
            except Exception:  # until it listens
                time.sleep(0.2)
        raise RuntimeError("moto's server does not answer")

    def setUp(self):
        super().setUp()
        if not WITH_IO:
            self.skipTest("tensorflow-io is not installed; `make test-io` has an environment with it")
        self.folder = Path(self.create_tempdir().full_path)

    def write_shards(self, folder: str) -> None:
        clips = Sprites(16, 4)
        for shard in range(2):
            with tf.io.TFRecordWriter(str(paths.path(folder) / records.shard_name("train", shard, 2))) as writer:
                for index in range(4):
                    strip = pictures.encode_strip(clips[4 * shard + index], pictures.StripEncoding("png"))
                    writer.write(records.example(strip, 4, "sprites", index))

    def run_command(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )

    def assert_succeeds(self, *arguments: str) -> str:
        done = self.run_command(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("pure virtual", done.stderr)
        return done.stdout + done.stderr

    def test_two_steps_from_records_on_s3_end_with_status_0(self):
        self.write_shards("s3://bucket/set")
        printed = self.assert_succeeds(
            "tfvideogan.train", *TINY, "--data=s3://bucket/set/train-*", f"--run_dir={self.folder / 'run'}"
        )
        self.assertIn("8 clips in 2 shards, 0 left out", printed)
        self.assertTrue((self.folder / "run" / "checkpoints" / "stage1-step00000002" / "manifest.json").exists())

    def test_a_run_folder_on_s3_goes_on_and_generates(self):
        run = ["tfvideogan.train", *TINY, "--data=synthetic:sprites", "--run_dir=s3://bucket/runs/one"]
        self.assert_succeeds(*run)
        printed = self.assert_succeeds(*run, "--steps=4", "--log_every=1")
        self.assertIn("stage 1 goes on from step 2 of 4", printed)
        self.assertNotIn("could not be written", printed)
        log = (paths.path("s3://bucket/runs/one") / "log.jsonl").read_text()
        self.assertEqual([json.loads(line)["step"] for line in log.splitlines()], [2, 3, 4])
        output = self.folder / "clips.gif"
        self.assert_succeeds(
            "tfvideogan.generate", "--run_dir=s3://bucket/runs/one", "--num_clips=2", f"--output={output}"
        )
        self.assertTrue(output.exists())
        self.assert_succeeds("export.to_saved_model", "--run_dir=s3://bucket/runs/one", "--output=s3://bucket/served")
        self.assertTrue((paths.path("s3://bucket/served/1") / "saved_model.pb").is_file())

    def test_damage_on_s3_is_found(self):
        self.write_shards("s3://bucket/damaged")
        shards = ["tfvideogan.verify_data", "--data=s3://bucket/damaged/train-*"]
        self.assert_succeeds(*shards)
        shard = paths.path("s3://bucket/damaged") / records.shard_name("train", 1, 2)
        content = bytearray(shard.read_bytes())
        content[100] ^= 1
        shard.write_bytes(bytes(content))
        done = self.run_command(*shards)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("train-00001-of-00002.tfrecord: record 0: its data do not match", done.stdout)

    def test_what_is_not_there_is_one_line(self):
        done = self.run_command(
            "tfvideogan.train", *TINY, "--data=s3://bucket/gone", f"--run_dir={self.folder / 'run'}"
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertRegex(done.stderr.strip().splitlines()[-1], "train: error: --data: 's3://bucket/gone': no such")

    def test_folders_of_clips_on_s3(self):
        write_video(self.folder / "raw" / "a.mp4", numbered(range(8)))
        write_pictures(self.folder / "raw" / "frames", numbered(range(4)), "{}.webp")
        for path in (self.folder / "raw").rglob("*.*"):
            (paths.path("s3://bucket/raw") / str(path.relative_to(self.folder / "raw"))).write_bytes(path.read_bytes())
        output = self.folder / "preview.png"
        printed = self.assert_succeeds(
            "tfvideogan.preview", "--data=s3://bucket/raw", "--num_frames=4", "--frame_size=16", f"--output={output}"
        )
        self.assertIn("3 clips in s3://bucket/raw", printed)

    def test_webp_frames_are_decoded_by_tensorflow_io(self):
        frame = Sprites(16, 1)[0][0]
        Image.fromarray(frame).save(self.folder / "frame.webp", lossless=True)
        self.assertAllEqual(pictures.read_image(self.folder / "frame.webp"), frame)
        decoded = pictures._decode_webp((self.folder / "frame.webp").read_bytes())
        self.assertAllEqual(decoded[..., :3], frame)
        self.assertAllEqual(decoded[..., 3], np.full([16, 16], 255))

    def test_summaries_are_moving_pictures_by_tensorflow_io(self):
        self.assert_succeeds("tfvideogan.train", *TINY, "--sample_every=1", f"--run_dir={self.folder / 'run'}")
        log = EventAccumulator(str(self.folder / "run" / "tensorboard" / "stage1"), size_guidance={"tensors": 0})
        log.Reload()
        gif = log.Tensors("samples")[-1].tensor_proto.string_val[2]
        with Image.open(io.BytesIO(gif)) as image:
            self.assertEqual((image.n_frames, image.info["loop"]), (4, 0))
            shown = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])
        sample = next((self.folder / "run" / "samples").glob("*.gif"))
        self.assertNotEqual(gif, sample.read_bytes())  # which is our own encoder's
        with Image.open(sample) as image:
            ours = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])
        self.assertEqual(shown.shape, ours.shape)
        self.assertLess(np.abs(shown.astype(int) - ours).mean(), 12)


if __name__ == "__main__":
    tf.test.main()
