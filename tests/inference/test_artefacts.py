"""One API over run folder, SavedModel, TFLite and ONNX: the same seed or picture gives the same clip."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from export import to_saved_model
from tests.helpers import ROOT, converted, folders, tiny
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.files import paths, pictures
from tfvideogan.inference import sampling
from tfvideogan.inference.artefacts import Exported
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import loading

FORMATS = ("run", "served", "served/3", "a.tflite", "a.onnx")


class ExportedTest(tf.test.TestCase, parameterized.TestCase):
    """Each artefact is made for the first test that asks for it, and loaded once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls, "exported é ")

    @classmethod
    @functools.cache
    def model(cls, name: str) -> AdversarialModel:
        return loading.load_generator(tiny.run_folder(cls.folder / name / "run", name))

    @classmethod
    @functools.cache
    def path(cls, name: str, form: str) -> Path:
        """Where a model lies as one of FORMATS, all in float32."""
        model, path = cls.model(name), cls.folder / name / form
        if form == "served":
            cls.path(name, "served/3")
            form = "served/12"
        if form.startswith("served/"):
            version = cls.folder / name / form
            to_saved_model.save(model, paths.path(version), lowering=form == "served/3", max_batch=1)
        elif form == "a.tflite":
            path.write_bytes(converted.tflite(name))
        elif form == "a.onnx":
            path.write_bytes(converted.onnx(name))
        return path

    @classmethod
    @functools.cache
    def loaded(cls, name: str, form: str) -> Exported:
        return load_exported(cls.path(name, form))

    @parameterized.parameters(*FORMATS)
    def test_generate_gives_the_clips_of_the_seeds(self, form):
        loaded, model = self.loaded("vgan", form), self.model("vgan")
        seeds = [5, 2**31 - 1, 5]
        expected = np.concatenate([to_uint8(next(sampling.generate(model, 1, seed))["clip"]) for seed in seeds])
        clips = loaded.generate(seeds)
        self.assertEqual((clips.dtype, clips.shape), (np.uint8, (3, 4, 16, 16, 3)))
        self.assertAllClose(clips.astype(int), expected.astype(int), atol=1)
        self.assertAllEqual(loaded.generate(seed=5), clips[:1])
        self.assertAllEqual(loaded.generate(seed=-(2**63)).shape, [1, 4, 16, 16, 3])

    @parameterized.parameters(*FORMATS)
    def test_predict_takes_files_and_arrays_of_any_size(self, form):
        loaded, model = self.loaded("mdgan", form), self.model("mdgan")
        for height, width in ((32, 32), (50, 21)):
            image = np.random.default_rng(0).integers(0, 256, [height, width, 3], np.uint8)
            Image.fromarray(image).save(self.folder / "picture.png")
            expected = to_uint8(model(to_float(pictures.resize(image, 32, 32))[None])["clip"]).numpy()
            clips = loaded.predict(image)
            self.assertEqual((clips.dtype, clips.shape), (np.uint8, (1, 4, 32, 32, 3)))
            self.assertAllClose(clips.astype(int), expected.astype(int), atol=1)
            self.assertAllEqual(loaded.predict(str(self.folder / "picture.png")), clips)

    @parameterized.parameters(*FORMATS)
    def test_wrong_calls_say_which_is_right(self, form):
        generator, predictor = (self.loaded(name, form) for name in ("vgan", "mdgan"))
        self.assertEqual((generator.predicts, predictor.predicts), (False, True))
        with self.assertRaisesRegex(UsageError, r"call generate\(seed\)"):
            generator.predict("picture.png")
        with self.assertRaisesRegex(UsageError, r"call predict\(image\)"):
            predictor.generate(1)

    def test_what_a_saved_models_own_checks_refuse_is_told_in_a_line(self):
        loaded = self.loaded("vgan", "served")
        for wrong, reason in ((np.zeros([2, 100]), "1 to 1 rows"), (np.full([1, 100], np.nan), "finite")):
            with self.assertRaisesRegex(UsageError, f"^{loaded.path}/12: .*{reason}"):
                loaded.run(wrong)

    @parameterized.parameters(*FORMATS)
    def test_inputs_of_another_shape_are_refused(self, form):
        for name, wrong in (("vgan", ([1, 99], [100], [0, 100])), ("mdgan", ([1, 31, 32, 3], [32, 32, 3], [1, 100]))):
            loaded = self.loaded(name, form)
            for shape in wrong:
                with self.assertRaisesRegex(UsageError, r"takes inputs \[N, .*Received"):
                    loaded.run(np.zeros(shape, np.float32))

    def test_of_versions_the_newest_is_taken(self):
        shutil.copytree(self.path("mdgan", "served/3"), self.folder / "versions" / "9")
        shutil.copytree(self.path("vgan", "served/3"), self.folder / "versions" / "10")
        (self.folder / "versions" / "11").mkdir()  # unfinished, or something else
        self.assertFalse(load_exported(self.folder / "versions").predicts)

    def test_wrong_seeds_and_pictures_are_refused(self):
        generator, predictor = (self.loaded(name, "a.onnx") for name in ("vgan", "mdgan"))
        for seed in (1.5, True, "1", [], [[1]], 2**63):
            with self.assertRaisesRegex(UsageError, "seed must be"):
                generator.generate(seed)
        for image in (np.zeros([32, 32, 3]), np.zeros([32, 32], np.uint8), np.zeros([1, 32, 32, 3], np.uint8)):
            with self.assertRaisesRegex(UsageError, "image must be"):
                predictor.predict(image)
        with self.assertRaisesRegex(UsageError, "no such file"):
            predictor.predict("/no/such.jpg")

    def test_what_is_no_artefact_is_refused(self):
        folder = self.folder / "wrong"
        (folder / "1").mkdir(parents=True)
        for name in ("a.tflite", "a.onnx", "1/saved_model.pb", "b.bin"):
            (folder / name).write_bytes(b"damaged")
        for name, expected in (("a.tflite", "TFLite"), ("a.onnx", "ONNX"), ("1", "SavedModel"), ("b.bin", "neither"),
                               ("none", "no such")):  # fmt: skip
            with self.assertRaisesRegex(UsageError, expected):
                load_exported(folder / name)
        whole = Path(self.path("vgan", "a.onnx")).read_bytes()
        self.assertIn(b"batch", whole)
        (folder / "a.onnx").write_bytes(whole.replace(b"batch", b"bat\xffh"))  # a name that is no UTF-8
        with self.assertRaisesRegex(UsageError, "not an ONNX model"):
            load_exported(folder / "a.onnx")
        tf.saved_model.save(tf.Module(), str(folder / "2"))
        with self.assertRaisesRegex(UsageError, "did not make"):
            load_exported(folder)

    @parameterized.parameters("a.tflite", "a.onnx")
    def test_tensorflow_is_not_loaded_to_predict(self, form):
        program = (
            "import sys, numpy; from tfvideogan import load_exported\n"
            "print(load_exported(sys.argv[1]).predict(numpy.zeros([9, 9, 3], numpy.uint8)).shape)\n"
            "sys.exit('tensorflow' in sys.modules)"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, self.path("mdgan", form)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual((result.returncode, result.stdout), (0, "(1, 4, 32, 32, 3)\n"), result.stderr)


if __name__ == "__main__":
    tf.test.main()
