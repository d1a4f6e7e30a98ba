from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
EXPORT = ["tf2onnx>=1.17", "onnx>=1.19", "onnxruntime>=1.22", "ai-edge-litert>=2.1"]
DATA = ["apache-beam>=2.77,<3", "opencv-python-headless>=4.12"]  # of prepare_data

setup(
    name="tfvideogan",
    version="0.1.0",
    description="Video-GAN and MD-GAN in Keras 3 on TensorFlow: train, generate, predict, evaluate",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["tfvideogan*", "export*"]),
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow>=2.16.2,<2.22,!=2.17.*,!=2.18.*,!=2.19.*,!=2.20.*",  # 2.16 is what tensorflow-io loads with
        "keras>=3.15.1,<4",
        "absl-py>=2.1",
        "numpy>=1.26",
        "av>=14",
        "etils[epath]>=1.12",
        "google-crc32c>=1.6",
        "pillow>=11",
        "scikit-image>=0.24",
        "tensorboard>=2.16",
        "tqdm>=4.66",
    ],
    extras_require={
        "data": DATA,
        "io": ["tensorflow>=2.16.2,<2.17", "tensorflow-io==0.37.1", "onnx<1.19"],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "export": EXPORT,
        "bench": ["torch>=2.6"],  # what export.benchmark --others compares with
        "dev": [*DATA, *EXPORT, "pytest>=8", "pytest-xdist>=3.6", "ruff>=0.9"],
        "dev-io": ["pytest>=8", "moto[s3]>=5", "flask>=3", "flask-cors>=5"],  # beside [io]
    },
)
