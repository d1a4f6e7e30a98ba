"""What a model server wants beside a SavedModel: warm-up records, configuration files, and manifests to start it with.

TF Serving replays the records of `VERSION/assets.extra/tf_serving_warmup_requests` before a version answers requests,
so that no user waits for the first run of a signature. It takes 1,000 at most, and one that fails fails the load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import atomic, pictures
from tfvideogan.inference import messages
from tfvideogan.models import drift

if TYPE_CHECKING:
    import tensorflow as tf

    from tfvideogan.files import paths

WARM_UP = "assets.extra/tf_serving_warmup_requests"
IMAGE = "tensorflow/serving"
IMAGE_TAG = "2.18.0"  # The graph is tested with TensorFlow 2.16.2 and 2.21, between which this server's own lies.

_MODELS = """# --model_config_file
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""
_BATCHING = """# --enable_batching=true --batching_parameters_file: a request that is refused takes its batch with it.
max_batch_size {{ value: {max_batch} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 64 }}
num_batch_threads {{ value: 2 }}
{allowed}
"""
_MONITORING = """# --monitoring_config_file
prometheus_config {{
  enable: true
  path: "/monitoring/prometheus/metrics"
}}
"""
_COMPOSE = """# docker compose up: REST on port 8501, gRPC on port 8500, of this machine alone.
services:
  {label}:
    image: {image}
    command:
      - --model_config_file=/models/{name}/models.config
      - --monitoring_config_file=/models/{name}/monitoring.config
    volumes:
      - .:/models/{name}:ro
    ports:
      - 127.0.0.1:8500:8500
      - 127.0.0.1:8501:8501
    restart: unless-stopped
"""
_KUBERNETES = """# kubectl apply -f kubernetes.yaml: this folder lies as {name} in the volume that {label}-model claims.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {label}
  labels: {{app: {label}}}
spec:
  replicas: 1
  selector:
    matchLabels: {{app: {label}}}
  template:
    metadata:
      labels: {{app: {label}}}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8501"
        prometheus.io/path: /monitoring/prometheus/metrics
    spec:
      containers:
        - name: serving
          image: {image}
          args:
            - --model_config_file=/models/{name}/models.config
            - --monitoring_config_file=/models/{name}/monitoring.config
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          readinessProbe:
            httpGet: {{path: /v1/models/{name}, port: rest}}
          volumeMounts:
            - {{name: model, mountPath: /models, readOnly: true}}
      volumes:
        - name: model
          persistentVolumeClaim: {{claimName: {label}-model, readOnly: true}}
---
apiVersion: v1
kind: Service
metadata:
  name: {label}
spec:
  selector: {{app: {label}}}
  ports:
    - {{name: grpc, port: 8500, targetPort: grpc}}
    - {{name: rest, port: 8501, targetPort: rest}}
"""
_KSERVE = """# kubectl apply -f inference_service.yaml, where KServe is: the model is called {label} there.
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {label}
spec:
  predictor:
    model:
      modelFormat:
        name: tensorflow
      protocolVersion: v1
      runtimeVersion: {tag}
      storageUri: pvc://{label}-model/{name}
"""
_FILES = {
    "models.config": _MODELS,
    "batching.config": _BATCHING,
    "monitoring.config": _MONITORING,
    "docker-compose.yml": _COMPOSE,
    "kubernetes.yaml": _KUBERNETES,
    "inference_service.yaml": _KSERVE,
}


def allowed_batches(max_batch: int) -> list[int]:
    """The batches that a batching server makes, by padding: the powers of two, and the model's own limit."""
    return [*(2**power for power in range((max_batch - 1).bit_length())), max_batch]


def check_name(flag: str, name: str) -> None:
    """Raises UsageError unless a served model can have this name, which is that of the folder of its versions."""
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_.-]{0,48}[A-Za-z0-9])?", name):
        raise UsageError(
            f"--{flag}'s folder names the served model: a letter, then letters, digits, _ . - (50). Received: {name!r}"
        )


def warm_up_records(
    model: str, signatures: Mapping[str, tf.types.experimental.ConcreteFunction], max_batch: int
) -> list[bytes]:
    """A serialized PredictionLog for each signature and allowed batch."""
    import tensorflow as tf

    specs = {name: tf.nest.flatten(function.structured_input_signature) for name, function in signatures.items()}
    return [
        messages.prediction_log(model, name, {spec.name: _rows(spec, batch) for spec in inputs})
        for name, inputs in specs.items()
        for batch in allowed_batches(max_batch)
    ]


def write_warm_up(version: str, records: list[bytes]) -> None:
    """Writes the records into the folder of a version."""
    import tensorflow as tf

    tf.io.gfile.makedirs(f"{version}/assets.extra")
    with tf.io.TFRecordWriter(f"{version}/{WARM_UP}") as writer:
        for record in records:
            writer.write(record)


def write_files(folder: paths.Path, max_batch: int) -> list[str]:
    """Writes the configuration files and manifests beside a model's versions, and returns their names."""
    label = re.sub(r"[^a-z0-9]", "-", folder.name.lower())  # Kubernetes takes no other characters.
    fields: dict[str, Any] = {
        "name": folder.name,
        "label": label,
        "image": f"{IMAGE}:{IMAGE_TAG}",
        "tag": IMAGE_TAG,
        "max_batch": max_batch,
        "allowed": "\n".join(f"allowed_batch_sizes: {batch}" for batch in allowed_batches(max_batch)),
    }
    for name, text in _FILES.items():
        atomic.write_bytes(folder / name, text.format(**fields).encode())
    return list(_FILES)


def _rows(spec: tf.TensorSpec, batch: int) -> messages.Value:
    """An input that a signature accepts."""
    if spec.name == "image_bytes":
        return [pictures.encode_strip(np.zeros([1, 64, 64, 3], np.uint8), pictures.StripEncoding())] * batch
    if spec.name == "wind":
        return np.tile(np.float32(drift.DEFAULT_WIND), [batch, 1])
    return np.zeros([batch, *spec.shape[1:]], spec.dtype.as_numpy_dtype)
