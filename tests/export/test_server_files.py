"""What `to_saved_model --serving` writes, read as a model server reads it."""

import itertools
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from export import server_files
from tests.helpers import folders, model_server, tiny
from tests.helpers.commands import run
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.inference.signatures import ServedModel

# The official package leaves these out. Sources: servables/tensorflow/session_bundle_config.proto and
# config/monitoring_config.proto of TF Serving.
INT64, BOOL, STRING = ("TYPE_INT64", "TYPE_BOOL", "TYPE_STRING")
LEFT_OUT = {
    "BatchingParameters": [
        *((name, number, ".google.protobuf.Int64Value") for number, name in enumerate(
            ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"), 1)),
        ("thread_pool_name", 5, ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, INT64),
        ("pad_variable_length_inputs", 7, BOOL),
    ],
    "PrometheusConfig": [("enable", 1, BOOL), ("path", 2, STRING)],
    "MonitoringConfig": [("prometheus_config", 1, ".tensorflow.serving.PrometheusConfig")],
}  # fmt: skip


def left_out(name: str) -> Any:
    """A message of the two files that the official package does not have."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="left_out.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for message, fields in LEFT_OUT.items():
        made = file.message_type.add(name=message)
        for field, number, kind in fields:
            label = kinds.LABEL_REPEATED if field == "allowed_batch_sizes" else kinds.LABEL_OPTIONAL
            is_message = kind.startswith(".")
            made.field.add(
                name=field, number=number, label=label, type="TYPE_MESSAGE" if is_message else kind,
                type_name=kind if is_message else None,
            )  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))()


class ServerFilesTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls)
        cls.served = cls.folder / "Small.vgan_2"
        run_dir = tiny.run_folder(cls.folder / "run", "vgan")
        cls.told = run("to_saved_model", f"--run_dir={run_dir}", f"--output={cls.served}", "--serving", "--max_batch=6",
                       "--lowering=off", package="export")  # fmt: skip

    def read(self, name: str) -> str:
        return (self.served / name).read_text()

    def test_files_stand_beside_a_version_that_is_still_found(self):
        self.assertEqual(self.told.returncode, 0, self.told.stderr)
        names = {path.name for path in self.served.iterdir()} - {"1"}
        self.assertEqual(names, set(server_files._FILES))
        self.assertEndsWith(self.told.stdout, f"; beside it {', '.join(server_files._FILES)}\n")
        self.assertEqual(load_exported(self.served).generate(1).shape, (1, tiny.FRAMES, 16, 16, 3))

    @unittest.skipUnless(model_server.HAS_STUBS, model_server.STUBS_MISSING)
    def test_every_warm_up_record_is_answered(self):
        from tensorflow_serving.apis import prediction_log_pb2

        drift = ServedModel(tiny.changing(1, drift="fused"), max_batch=2)
        path = str(self.folder / "drift")
        tf.saved_model.save(drift, path, signatures=drift.signatures())
        server_files.write_warm_up(path, server_files.warm_up_records("drift", drift.signatures(), 2))
        server = model_server.Server({"drift": path, self.served.name: str(self.served / "1")})
        vgan = {"serving_default", "generate", "generate_from_latents", "generate_jpeg", "streams"}
        predictor = {"serving_default", "predict", "predict_video", "predict_jpeg"}
        for version, model, signatures, batches in (
            (path, "drift", predictor, (1, 2)),
            (self.served / "1", self.served.name, vgan, (1, 2, 4, 6)),
        ):
            replayed = []
            for record in tf.data.TFRecordDataset(f"{version}/{server_files.WARM_UP}").as_numpy_iterator():
                request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
                spec = request.model_spec
                inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
                outputs = server.run(spec.name, spec.signature_name, inputs)
                (rows,) = {len(value) for value in outputs.values()}
                replayed.append((spec.signature_name, rows))
                self.assertEqual(spec.name, model)
            self.assertCountEqual(replayed, itertools.product(signatures, batches))

    def test_there_are_never_more_records_than_a_server_takes(self):
        for limit, batches in (
            (1, [1]),
            (2, [1, 2]),
            (3, [1, 2, 3]),
            (16, [1, 2, 4, 8, 16]),
            (17, [1, 2, 4, 8, 16, 17]),
        ):
            self.assertEqual(server_files.allowed_batches(limit), batches)
        self.assertLess(len(server_files.allowed_batches(1024)) * 6, 1000)

    @unittest.skipUnless(model_server.HAS_STUBS, model_server.STUBS_MISSING)
    def test_models_config_is_one_of_a_model_server(self):
        from tensorflow_serving.config import model_server_config_pb2

        config = text_format.Parse(self.read("models.config"), model_server_config_pb2.ModelServerConfig())
        (model,) = config.model_config_list.config
        self.assertEqual((model.name, model.model_platform), (self.served.name, "tensorflow"))
        self.assertEqual(model.base_path, f"/models/{self.served.name}")
        self.assertEqual(model.model_version_policy.latest.num_versions, 1)

    def test_batches_end_with_the_models_limit(self):
        batching = text_format.Parse(self.read("batching.config"), left_out("BatchingParameters"))
        self.assertEqual(list(batching.allowed_batch_sizes), [1, 2, 4, 6])
        self.assertEqual(batching.max_batch_size.value, 6)
        for field in ("batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"):
            self.assertGreater(getattr(batching, field).value, 0)
        server = model_server.Server({"m": str(self.served / "1")})
        self.assertLen(server.run("m", "generate", {"seed": np.arange(6)})["frames"], 6)
        with self.assertRaisesRegex(model_server.RefusedError, "1 to 6 rows"):
            server.run("m", "generate", {"seed": np.arange(7)})

    def test_metrics_lie_where_the_manifest_says(self):
        monitoring = text_format.Parse(self.read("monitoring.config"), left_out("MonitoringConfig")).prometheus_config
        self.assertTrue(monitoring.enable)
        deployment, _ = yaml.safe_load_all(self.read("kubernetes.yaml"))
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        self.assertEqual(annotations["prometheus.io/path"], monitoring.path)

    def test_manifests_name_what_there_is(self):
        deployment, service = yaml.safe_load_all(self.read("kubernetes.yaml"))
        pod = deployment["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        (composed,) = yaml.safe_load(self.read("docker-compose.yml"))["services"].values()
        inference = yaml.safe_load(self.read("inference_service.yaml"))
        self.assertEqual({deployment["metadata"]["name"], service["metadata"]["name"], inference["metadata"]["name"]},
                         {"small-vgan-2"})  # fmt: skip
        self.assertEqual(service["spec"]["selector"], pod["metadata"]["labels"])
        self.assertEqual(deployment["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"])
        self.assertEqual({port["targetPort"] for port in service["spec"]["ports"]},
                         {port["name"] for port in container["ports"]})  # fmt: skip
        self.assertEqual(composed["volumes"], [f".:/models/{self.served.name}:ro"])
        self.assertTrue(all(port.startswith("127.0.0.1:") for port in composed["ports"]))
        for arguments in (container["args"], composed["command"]):
            for argument in arguments:
                flag, _, path = argument.partition("=")
                self.assertIn(flag, ("--model_config_file", "--monitoring_config_file"))
                self.assertTrue((self.folder / Path(path).relative_to("/models")).is_file(), argument)
        self.assertEqual({container["image"], composed["image"]}, {"tensorflow/serving:2.18.0"})
        model = inference["spec"]["predictor"]["model"]
        self.assertEqual(model["storageUri"], f"pvc://small-vgan-2-model/{self.served.name}")

    def test_names_that_no_server_takes_are_refused(self):
        for name in ("mein modell", "1", "-x", "x-", "a" * 51, "é", "a/b", ""):
            with self.subTest(name), self.assertRaisesRegex(UsageError, "--output's folder names the served model"):
                server_files.check_name("output", name)
        for name in ("a", "vgan", "Small.vgan_2"):
            server_files.check_name("output", name)
        flags = [f"--run_dir={self.folder / 'run'}", f"--output={self.folder / '2 models'}", "--serving"]
        told = run("to_saved_model", *flags, package="export")
        self.assertEqual((told.returncode, len(told.stderr.splitlines())), (2, 1), told.stderr)
        self.assertFalse((self.folder / "2 models").exists())


if __name__ == "__main__":
    tf.test.main()
