"""What `dataset.json` and the report say of a data set."""

from tests.data.case import PrepareTest, clips_by_source, prepared, sha256, tiny_inputs
from tests.helpers.made_files import numbered, write_interlaced, write_video
from tfvideogan.data import description


class DescriptionTest(PrepareTest):
    def test_the_description_says_how_the_clips_were_made(self):
        video = write_video(self.root / "in" / "a.mp4", numbered(range(12)))
        dataset = prepared(self.output, video, stride=2, first_only=False, resize="crop", splits=(("all", 1.0),))
        self.assertEqual(dataset["schema"], 1)
        self.assertEqual((dataset["num_frames"], dataset["frame_size"], dataset["clips"]), (4, 16, {"all": 5}))
        options = dataset["options"]
        self.assertEqual((options["stride"], options["resize"], options["splits"]), (2, "crop", {"all": 1.0}))
        self.assertEqual((options["encoding"], options["frame_step"], options["stabilize"]), ("png", 1, False))
        (shard,) = dataset["shards"]["all"]
        path = self.output / "all-00000-of-00001.tfrecord"
        self.assertEqual(shard, {"name": path.name, "records": 5, "bytes": path.stat().st_size, "sha256": sha256(path)})
        self.assertEqual([start for start, _ in clips_by_source(self.output)["a.mp4"]], [0, 2, 4, 6, 8])

    def test_interlaced_videos_are_noted_once_each_and_counted(self):
        for name in ("tv.mp4", "more tv.mp4"):
            write_interlaced(self.root / "in" / name, numbered(range(12), 64, 64))
        write_video(self.root / "in" / "a.mp4", numbered(range(8)))
        dataset = prepared(self.output, self.root / "in")
        noted = {source["name"]: source["notes"] for source in dataset["sources"] if "notes" in source}
        note = "interlaced; FFmpeg's filter bwdif makes whole frames of it"
        self.assertEqual(noted, {"tv.mp4": [note], "more tv.mp4": [note]})
        lines = description.report(dataset, 1.0).splitlines()
        self.assertEndsWith(lines[0], ", 0 other files ignored; 2 inputs with a note")
        self.assertEqual([line for line in lines if line.startswith("note ") and "split" not in line],
                         [f"note      {name}: {note}" for name in ("more tv.mp4", "tv.mp4")])  # fmt: skip

    def test_a_split_without_a_clip_is_told(self):
        dataset = prepared(self.output, tiny_inputs(self.root / "in", 1))
        self.assertCountEqual(dataset["clips"].values(), [0, 1])
        self.assertLen(dataset["shards"], 1)
        empty = min(dataset["clips"], key=dataset["clips"].get)
        self.assertIn(f"the split '{empty}' got no clip", description.report(dataset, 1.0))
