"""`saved_model_cli run` on one signature after the other, in one process:

python tests/helpers/saved_model_cli.py MODEL OUTPUT_FOLDER SIGNATURE INPUT=FILE.npy [SIGNATURE INPUT=FILE.npy ...]
"""

import sys

from absl import flags
from tensorflow.python.tools import saved_model_cli

if __name__ == "__main__":
    saved_model_cli.create_parser()
    path, output, *requests = sys.argv[1:]
    for signature, given in zip(requests[::2], requests[1::2], strict=True):
        options = {"dir": path, "tag_set": "serve", "signature_def": signature, "inputs": given}
        options["outdir"] = f"{output}/{signature}"
        flags.FLAGS([sys.argv[0], *(f"--{name}={value}" for name, value in options.items())])
        saved_model_cli.run()
