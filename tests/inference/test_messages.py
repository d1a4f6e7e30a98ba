"""The messages of the client against the official ones of TensorFlow Serving."""

import math
import unittest

import numpy as np
import tensorflow as tf

from tests.helpers import model_server
from tfvideogan.inference import messages


@unittest.skipUnless(model_server.HAS_STUBS, model_server.STUBS_MISSING)
class MessagesTest(tf.test.TestCase):
    def test_requests_are_those_of_the_official_protos(self):
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

        inputs = {
            "seed": np.int64([7, -1]),
            "latents": np.float32([[0.5, -2]]),
            "frame": np.uint8([[[[1, 2, 3]]]]),
            "image_bytes": [b"\xff\x00", b""],
        }
        request = predict_pb2.PredictRequest.FromString(messages.predict_request("m", "s", inputs))
        self.assertEqual((request.model_spec.name, request.model_spec.signature_name), ("m", "s"))
        self.assertEqual(set(request.inputs), set(inputs))
        for name, value in inputs.items():
            read = tf.make_ndarray(request.inputs[name])
            self.assertEqual(read.tolist(), value if isinstance(value, list) else value.tolist())
        log = prediction_log_pb2.PredictionLog.FromString(messages.prediction_log("m", "s", inputs))
        self.assertEqual(log.WhichOneof("log_type"), "predict_log")
        self.assertEqual(log.predict_log.request, request)

    def test_metadata_are_asked_for_and_read_as_the_official_protos_have_them(self):
        from tensorflow.core.protobuf import meta_graph_pb2
        from tensorflow_serving.apis import get_model_metadata_pb2 as official

        request = official.GetModelMetadataRequest.FromString(messages.metadata_request("m"))
        self.assertEqual((request.model_spec.name, list(request.metadata_field)), ("m", ["signature_def"]))
        info = meta_graph_pb2.TensorInfo(name="x:0")
        signature = meta_graph_pb2.SignatureDef(inputs={"frame": info, "wind": info}, outputs={"video": info})
        response = official.GetModelMetadataResponse()
        named = {"predict": signature, "none": meta_graph_pb2.SignatureDef()}
        response.metadata["signature_def"].Pack(official.SignatureDefMap(signature_def=named))
        expected = {"predict": {"frame", "wind"}, "none": set()}
        self.assertEqual(messages.read_metadata(response.SerializeToString()), expected)
        for wrong in (b"\xff", official.GetModelMetadataResponse().SerializeToString()):
            with self.assertRaisesRegex(ValueError, "no GetModelMetadataResponse"):
                messages.read_metadata(wrong)

    def test_responses_are_read_in_all_their_forms(self):
        from tensorflow_serving.apis import predict_pb2

        values = {"a": np.uint8([[0, 255], [128, 7]]), "b": np.float32([0.5, math.inf]), "c": np.int64([-1, 2**62])}
        values["strings"] = np.array([b"x", b""], object)
        for as_content in (True, False):
            made = {name: model_server.proto(value, as_content) for name, value in values.items()}
            response = predict_pb2.PredictResponse(outputs=made)
            response.model_spec.name = "skipped"
            read = messages.read_response(response.SerializeToString())
            for name, value in values.items():
                self.assertEqual(np.asarray(read[name], value.dtype).tolist(), value.tolist())
        short = tf.make_tensor_proto(np.float32(3), shape=[2, 2])  # its values are [3] alone
        read = messages.read_response(predict_pb2.PredictResponse(outputs={"x": short}).SerializeToString())
        self.assertAllEqual(read["x"], np.full([2, 2], 3, np.float32))

    def test_what_is_no_response_is_a_value_error(self):
        from tensorflow_serving.apis import predict_pb2

        odd = predict_pb2.PredictResponse(outputs={"x": tf.make_tensor_proto(True)}).SerializeToString()
        lie = predict_pb2.PredictResponse(outputs={"x": tf.make_tensor_proto(np.float32([1, 2]))})
        lie.outputs["x"].tensor_shape.dim[0].size = 3
        for content in (b"\xff\xff", odd, lie.SerializeToString()):
            with self.assertRaises(ValueError):
                messages.read_response(content)


if __name__ == "__main__":
    tf.test.main()
