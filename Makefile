# make demo   trains a small MD-GAN on built-in clips and predicts a clip from a still picture
# make test   runs the test suite, and after it make fuzz, damaged files; make test-io the part of it that wants
#             tensorflow-io; make test-package the wheel in an environment that holds nothing else; make soak the long tests
# Each sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
VENV_IO ?= .venv-io
RUN := $(VENV)/bin/python -m
DEMO ?= runs/demo
FUZZ_SECONDS ?= 60

.PHONY: demo test fuzz test-io test-package soak lint install install-io clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --progress-bar=off -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(RUN) tfvideogan.train --flagfile=configs/mdgan_demo.flags --run_dir=$(DEMO)
	$(RUN) tfvideogan.preview --data=synthetic:sky:test --num_clips=1 --frame_size=128 --output=$(DEMO)/still.png
	$(RUN) tfvideogan.preview --data=synthetic:sky:test --num_clips=1 --num_frames=16 --output=$(DEMO)/real.mp4
	$(RUN) tfvideogan.predict --run_dir=$(DEMO) --image=$(DEMO)/still.png --output=$(DEMO)/prediction.gif \
		--scale=4 --sheet=$(DEMO)/sheet.png --real=$(DEMO)/real.mp4
	@echo
	@echo "The still picture:      $(DEMO)/still.png"
	@echo "Its moving prediction:  $(DEMO)/prediction.gif"
	@echo "Both stages over time:  $(DEMO)/sheet.png"
	@echo "How the model learned:  $(DEMO)/samples/"

test: install
	$(RUN) pytest -n 2 --dist=loadscope --no-loadscope-reorder
	$(MAKE) fuzz

# Damaged files at random, for a minute each reader; FUZZ_SECONDS=600 for ten.
fuzz: install
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(RUN) pytest -n 2 --dist=load tests/test_fuzz.py tests/weights/test_hostile_files.py

# The promises of docs/reliability.md in their long form: three quarters of an hour. Then an hour of damaged files.
soak: install
	SOAK=1 $(RUN) pytest -s tests/training/test_reliability.py
	$(MAKE) fuzz FUZZ_SECONDS=600

# tensorflow-io loads with an older TensorFlow only, hence an environment of its own.
test-io: install-io
	$(VENV_IO)/bin/python -m pytest tests/files/test_remote.py

# The package as a user installs it: built, downloaded with what it depends on, run far from this folder.
test-package: install
	FULL_INSTALL=1 $(RUN) pytest tests/test_package.py

install-io: $(VENV_IO)/.installed

$(VENV_IO)/.installed: setup.py constraints-io.txt
	$(PYTHON) -m venv $(VENV_IO)
	$(VENV_IO)/bin/pip install --disable-pip-version-check --progress-bar=off -c constraints-io.txt -e '.[io,dev-io]'
	touch $@

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean:
	rm -rf $(VENV) $(VENV_IO) build dist *.egg-info
