# Two environments: .venv-serve holds the base set and no torch, .venv the full set with torch and the tools.
# A third, .venv-sbom, is made where the list of parts is asked for: what lists must not be among what is listed.
# A stamp file marks an environment as complete; it is remade when the requirements change.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
SERVE := .venv-serve
FULL := .venv
SBOM := .venv-sbom
PINS := constraints.txt

.PHONY: help serve test check demo train-default site sbom bench abuse schema soak clean

help:
	@echo "make serve   start the service on http://$(HOST):$(PORT) (installs the base set, no torch); HOST=0.0.0.0 for other machines too, who need a key"
	@echo "make test    run every test (installs the full set)"
	@echo "make check   format, lint, types, architecture"
	@echo "make demo    the whole line, raw films to evaluation, on synthetic films (installs the full set)"
	@echo "make train-default   two of the three rounds by which the shipped model was trained: FracAtlas, downloaded, and RF100 where it is there"
	@echo "make site    the static site in site/, ready to publish"
	@echo "make sbom    sbom.json: every package of the service with version and licence (CycloneDX), for scanners"
	@echo "make bench   measure this machine; FILMS=folder harmonises films of your own"
	@echo "make abuse   10,000 mutilated films against the service, 2,000 streams for inference.py (half an hour)"
	@echo "make schema  the service against its own OpenAPI document"
	@echo "make soak    ten minutes at sixteen clients, then 5,000 films of many sizes, answers and memory watched"

serve: $(SERVE)/.complete
	@echo "starting fracture; it says where it is when it is ready"
	@FRACTURE_HOST=$(HOST) FRACTURE_PORT=$(PORT) $(SERVE)/bin/python -m app

test: $(FULL)/.complete $(SERVE)/.complete
	$(FULL)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(FULL)/.complete
	$(FULL)/bin/ruff format --check .
	$(FULL)/bin/ruff check .
	$(FULL)/bin/mypy
	$(FULL)/bin/python -m pytest tests/test_architecture.py

demo: $(FULL)/.complete
	$(FULL)/bin/python scripts/run_v5.py --phantom
	@echo "look at phantom/stage/audit/audit.html and phantom/report/report.html; figures on synthetic films mean nothing"

train-default: $(FULL)/.complete
	$(FULL)/bin/python scripts/run_v5.py --default $(if $(MODEL),--model "$(MODEL)")

site: $(SERVE)/.complete
	$(SERVE)/bin/python scripts/build_site.py
	@echo "to look at it:  python3 -m http.server -d site"

sbom: $(SBOM)/.complete $(SERVE)/.complete
	$(SBOM)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --output-file sbom.json $(SERVE)/bin/python

bench: $(FULL)/.complete
	$(FULL)/bin/python -m bench $(if $(FILMS),--films "$(FILMS)")

abuse: $(FULL)/.complete
	$(FULL)/bin/python scripts/abuse.py

schema: $(FULL)/.complete
	$(FULL)/bin/python -m pytest tests/service/test_schema.py --long

soak: $(FULL)/.complete
	$(FULL)/bin/python scripts/soak.py
	$(FULL)/bin/python scripts/soak.py --sizes --requests 5000 --clients 4 --minutes 60

# uv installs in seconds; where it cannot be had, pip does the same work.
define install
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python -m pip install -q --disable-pip-version-check uv 2>/dev/null || echo "no uv, pip will do"
	$(call pip,$(1),$(2))
endef
define pip
	if [ -x $(1)/bin/uv ]; then VIRTUAL_ENV=$(CURDIR)/$(1) $(1)/bin/uv pip install -q -c $(PINS) $(2); \
	else $(1)/bin/python -m pip install -q --disable-pip-version-check -c $(PINS) $(2); fi
endef

$(SERVE)/.complete: pyproject.toml $(PINS)
	@echo "installing the base set into $(SERVE) ..."
	@$(call install,$(SERVE),-e .)
	@touch $@

$(SBOM)/.complete: $(PINS)
	@echo "installing cyclonedx-bom into $(SBOM) ..."
	@$(call install,$(SBOM),cyclonedx-bom)
	@touch $@

# ultralytics wants opencv-python, roboflow opencv-python-headless; both install one cv2 folder and the last one wins.
# They are pinned to one version, and the headless one goes last: it needs no libGL, so cv2 imports on any machine.
$(FULL)/.complete: pyproject.toml requirements.txt $(PINS)
	@echo "installing the full set into $(FULL) (torch is large) ..."
	@$(call install,$(FULL),-r requirements.txt)
	@if [ -x $(FULL)/bin/uv ]; then again=--reinstall; else again=--force-reinstall; fi; \
	$(call pip,$(FULL),$$again --no-deps opencv-python-headless)
	@touch $@

clean:
	rm -rf $(SERVE) $(FULL) $(SBOM) build dist *.egg-info
