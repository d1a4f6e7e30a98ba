import re
import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
URL = "https://github.com/tfvideogan/tfvideogan"

# The extras can be installed together, except `io`: the last tensorflow-io loads with TensorFlow 2.16 only, which
# takes neither the NumPy of [data], nor the ONNX of [export], nor the CUDA libraries of [gpu].
EXPORT = ["tf2onnx>=1.17", "onnx>=1.19", "onnxruntime>=1.22", "ai-edge-litert>=2.1"]
CLIENT = ["grpcio>=1.66"]  # of grpc:// targets; rest:// needs none
DATA = ["apache-beam>=2.77,<3", "opencv-python-headless>=4.12"]  # of prepare_data


def long_description() -> str:
    """The README with links and pictures that a package index can follow."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    def absolute(link: re.Match) -> str:
        return f"{link[1]}[{link[2]}]({URL}/{'raw' if link[1] else 'blob'}/main/{link[3]})"

    return re.sub(r"(!?)\[([^]]*)]\((?!https?:|#)([^)]+)\)", absolute, text)


setup(
    name="tfvideogan",
    version=runpy.run_path(str(ROOT / "tfvideogan" / "__init__.py"))["__version__"],
    description="Video-GAN and MD-GAN in Keras 3 on TensorFlow: train, generate, predict, evaluate",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    url=URL,
    project_urls={"Documentation": f"{URL}/tree/main/docs", "Changelog": f"{URL}/blob/main/CHANGELOG.md"},
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    packages=[*find_packages(include=["tfvideogan*", "export*"]), "tfvideogan.configs"],
    package_dir={"tfvideogan.configs": "configs"},
    package_data={
        "tfvideogan": ["py.typed"],
        "tfvideogan.configs": ["*.flags"],
        "tfvideogan.web": ["*.html", "*.css", "*.js", "*.svg", "*.jpg"],
        "tfvideogan.weights": ["*/*.json", "*/*.md", "*/checkpoints/*/*"],
    },
    entry_points={"console_scripts": ["tfvideogan = tfvideogan.__main__:main"]},
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
        "tensorboard>=2.16",
        "tqdm>=4.66",
    ],
    extras_require={
        "data": DATA,
        "client": CLIENT,
        "heic": ["pillow-heif>=1.1"],  # photos of iPhones
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "export": EXPORT,
        "lite": ["ai-edge-litert>=2.1"],  # calls .tflite files; docs/export.md has the install without TensorFlow
        "bench": ["torch>=2.6"],  # --others of both benchmarks compares with it
        "openvino": ["openvino>=2026.4"],  # so does export.benchmark --others
        "dev": [
            *CLIENT,
            *DATA,
            *EXPORT,
            "pillow-heif>=1.1",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "scikit-image>=0.24",
            "setuptools>=77",
            "tensorflow-serving-api>=2.21,<2.22",
        ],
        "web": ["playwright>=1.50"],  # the tests of the page, which drive a Chromium
        "notebook": ["ipykernel>=6.29", "nbclient>=0.10"],  # tests of examples/
        "io": ["tensorflow>=2.16.2,<2.17", "tensorflow-io==0.37.1"],
        "dev-io": ["pytest>=8", "moto[s3]>=5", "flask>=3", "flask-cors>=5"],  # beside [io]
    },
)
