# Two commands for users (demo, test), one gate for developers (check). Each sets up what it needs.
# By file, in as many processes as there are cores (four at most); see tests/conftest.py for the order
BESIDE = -n auto --maxprocesses=4 --dist loadgroup --no-loadscope-reorder
.PHONY: setup demo test check acceptance conformance lock format

setup:
	@scripts/setup

# make demo GUEST=vm: its server is a QEMU machine
demo: setup
	@$(if $(filter vm,$(GUEST)),scripts/setup-vm --required)
	@.venv/bin/dayfly demo $(if $(GUEST),--guest $(GUEST))

test: setup
	@scripts/setup-vm
	@.venv/bin/python -m pytest -q $(BESIDE)

check: setup
	@scripts/check

# On a real account: make acceptance ACCOUNT=123456789012 [REGION=eu-west-1] [CLEAN=1]
# $0.05 at most, as long as it, or CLEAN=1 after it was cut off, is run to its end
acceptance: setup
	@scripts/acceptance $(if $(ACCOUNT),--account $(ACCOUNT)) $(if $(REGION),--region $(REGION)) $(if $(CLEAN),--clean)

# What the local cloud does as AWS documents it, asked of it and of moto; writes docs/conformance.md
conformance: setup
	@.venv/bin/python localcloud/scripts/conformance

lock:
	@scripts/lock

format: setup
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .
