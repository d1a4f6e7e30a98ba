"""The writer of a shard, by itself: clips to the pixel, a report of each input, all or nothing."""

import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.data.case import PrepareTest, job, sha256
from tests.helpers.made_files import cut, numbered, write_pictures, write_video
from tfvideogan.data import plan, records
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.data.shard_writer import WriteShard
from tfvideogan.data.worker import Limits


class WriteShardTest(PrepareTest):
    def setUp(self):
        super().setUp()
        self.folder = self.root / "in"

    def write(self, inputs: list[Input] | None = None, **options) -> tuple[Path, dict]:
        """The shard of these inputs, by default all in the folder, and its report."""
        whole = job(self.output, splits=(("all", 1.0),), **options)
        (shard,) = plan.plan(inputs or find_inputs(str(self.folder)).inputs, whole.splits)
        whole.unfinished.mkdir(parents=True)
        writer = WriteShard(whole)
        writer.setup()
        self.addCleanup(writer.teardown)
        self.assertEqual(list(writer.process(shard)), ["all-00000"])
        path, report = (self.output / records.UNFINISHED / f"all-00000.{suffix}" for suffix in ("tfrecord", "json"))
        self.assertCountEqual(whole.unfinished.iterdir(), [path, report])
        return path, json.loads(report.read_text())

    def test_frames_keep_their_pixels(self):
        noise = np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3], np.uint8)
        write_pictures(self.folder / "video", noise)
        path, _ = self.write()
        (record,) = records.scan(path)
        self.assertAllEqual(records.decode(tf.constant(record), 4, 16), noise)

    def test_the_report_has_counts_problems_and_checksums(self):
        video = write_video(self.folder / "a.mp4", numbered(range(8)))
        frames = write_pictures(self.folder / "b", numbered(range(5)), "{}.png")
        cut(frames / "4.png", 0.5)
        path, report = self.write()
        sources = {source.pop("name"): source for source in report.pop("sources")}
        self.assertEqual(
            report,
            {"made": "all-00000", "split": "all", "records": 3, "bytes": path.stat().st_size, "sha256": sha256(path)},
        )
        listing = "".join(f"{i}.png {sha256(frames / f'{i}.png')}\n" for i in range(5))
        size = sum(file.stat().st_size for file in frames.iterdir())
        (problem,) = sources["b"].pop("problems")
        self.assertStartsWith(problem, "4.png: damaged picture")
        self.assertEqual(sources, {
            "a.mp4": {"kind": "video", "split": "all", "clips": 2, "problems": [],
                      "bytes": video.stat().st_size, "sha256": sha256(video)},
            "b": {"kind": "frames", "split": "all", "clips": 1,
                  "bytes": size, "sha256": hashlib.sha256(listing.encode()).hexdigest()},
        })  # fmt: skip

    def test_what_cannot_be_read_has_no_checksum(self):
        """A pipe that nobody writes to has taken the place of a video; to read it for its checksum would never end."""
        video = write_video(self.folder / "a.mp4", numbered(range(8)))
        inputs = find_inputs(str(self.folder)).inputs
        video.unlink()
        os.mkfifo(video)
        _, report = self.write(inputs, limits=Limits(0.5, 2048))
        (source,) = report["sources"]
        self.assertEqual(source["clips"], 0)
        self.assertEqual((source["bytes"], source["sha256"], source["unread"]), (None, None, "FileNotFoundError"))

    def test_a_writer_that_fails_leaves_no_shard(self):
        write_video(self.folder / "a.mp4", numbered(range(8)))
        full = mock.patch.object(records, "example", side_effect=OSError("disk full"))
        with full, self.assertRaisesRegex(OSError, "disk full"):
            self.write()
        (part,) = (self.output / records.UNFINISHED).iterdir()
        self.assertEndsWith(part.name, ".part")
