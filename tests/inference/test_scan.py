"""SavedModels of a stranger are refused before any of their code runs; those of this package are not."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.trackable.resource import TrackableResource

from export import to_saved_model
from tests.helpers import tiny
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.inference import scan

FRAMES = tf.TensorSpec([None, 8, 8, 3], tf.uint8, "frame")


class Writer(tf.Module):
    """Writes a file when it is called, behind a function and a condition that look harmless."""

    def __init__(self, canary: Path):
        super().__init__()
        self.canary = str(canary)

    @tf.function(autograph=False)
    def inner(self):
        with tf.control_dependencies([tf.io.write_file(self.canary, "was here")]):
            return tf.constant(0.0)

    @tf.function(input_signature=[FRAMES], autograph=False)
    def predict_video(self, frame):
        def write():
            with tf.control_dependencies([self.inner()]):
                return tf.constant(1.0)

        return {"video": tf.cast(frame, tf.float32)[:, tf.newaxis] + tf.cond(tf.size(frame) > 0, write, lambda: 0.0)}


class Resource(TrackableResource):
    """Writes a file while it is loaded."""

    def __init__(self, canary: Path):
        super().__init__()
        self.canary = str(canary)

    def _create_resource(self):
        return tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64)

    def _initialize(self):
        tf.io.write_file(self.canary, "was here")


class AtLoading(tf.Module):
    def __init__(self, canary: Path):
        super().__init__()
        self.resource = Resource(canary)

    @tf.function(input_signature=[FRAMES], autograph=False)
    def predict_video(self, frame):
        with tf.control_dependencies([self.resource.resource_handle]):
            return {"video": tf.cast(frame, tf.float32)[:, tf.newaxis]}


class ScanTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.canary = self.folder / "canary"

    def saved(self, module: tf.Module) -> Path:
        path = self.folder / "model"
        tf.saved_model.save(module, str(path), signatures={"predict_video": module.predict_video})
        self.canary.unlink(missing_ok=True)  # Saving may have written it.
        return path

    def test_what_writes_files_when_called_or_while_it_is_loaded_is_refused(self):
        for module in (Writer(self.canary), AtLoading(self.canary)):
            with self.subTest(type(module).__name__):
                path = self.saved(module)
                with self.assertRaisesRegex(UsageError, "not loaded, since it (has the operation|holds an object)"):
                    load_exported(path)
                self.assertFalse(self.canary.exists())
                load_exported(path, trust=True)
        self.assertTrue(self.canary.exists())  # So the test can fail: loading alone did write it.

    def test_python_and_objects_of_others_are_refused(self):
        class Calls(tf.Module):
            @tf.function(input_signature=[FRAMES], autograph=False)
            def predict_video(self, frame):
                made = tf.py_function(lambda x: x, [tf.cast(frame, tf.float32)], tf.float32)
                return {"video": tf.ensure_shape(made, [None, 8, 8, 3])[:, tf.newaxis]}

        with self.assertRaisesRegex(UsageError, "has the operation EagerPyFunc"):
            load_exported(self.saved(Calls()))

    def test_this_packages_own_are_loaded(self):
        for name, stage in (("vgan", 1), ("mdgan", 2)):
            for lowering in (True, False):
                path = self.folder / f"{name} {lowering}" / "1"
                to_saved_model.save(tiny.model(name, stage), path, lowering, 4)
                scan.check(paths.path(path))

    def test_links_graphs_of_tensorflow_1_and_damage_are_refused(self):
        to_saved_model.save(tiny.model("vgan"), self.folder / "a" / "1", True, 4)
        path = self.folder / "a" / "1"
        content = (path / "saved_model.pb").read_bytes()
        saved = saved_model_pb2.SavedModel.FromString(content)
        saved.meta_graphs[0].ClearField("object_graph_def")
        for changed, message in (
            (saved.SerializeToString(), "of TensorFlow 1"),
            (b"\xff" * 100, "damaged SavedModel"),
            (content[: len(content) // 2], "damaged SavedModel"),
        ):
            (path / "saved_model.pb").write_bytes(changed)
            with self.assertRaisesRegex(UsageError, message):
                load_exported(path)
        (path / "saved_model.pb").write_bytes(content)
        (path / "assets.txt").symlink_to("/etc/passwd")
        with self.assertRaisesRegex(UsageError, "is a link or no file"):
            load_exported(path)


if __name__ == "__main__":
    tf.test.main()
