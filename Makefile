# For users: demo, test. For developers: lint before a commit, check before a push, test before a release. Each target sets up what
# it needs.
# Tests run by file, in as many processes as there are cores (four at most); tests/conftest.py gives the order.
PARALLEL = -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder
.PHONY: setup demo test lint check acceptance acceptance-kills conformance permissions-proof calls doctor-faults bench worlds planted lock format figures dead-code

setup:
	@scripts/setup

# Run the example job on a local cloud. GUEST=vm: on a QEMU machine
demo: setup
	@$(if $(filter vm,$(GUEST)),scripts/setup-vm --required)
	@.venv/bin/dayfly demo $(if $(GUEST),--guest $(GUEST))

test: setup
	@scripts/setup-vm
	@scripts/setup-proof
	@.venv/bin/python -m pytest -q $(PARALLEL)

lint: setup
	@scripts/lint

check: setup
	@scripts/check

# Test on a real account: make acceptance ACCOUNT=123456789012 [REGION=eu-west-1] [CLEAN=1|CLEAN=TRIAL]
# Costs at most $0.05 if it, or CLEAN=TRIAL after an interruption, runs to its end
acceptance: setup
	@scripts/acceptance $(if $(ACCOUNT),--account $(ACCOUNT)) $(if $(REGION),--region $(REGION)) $(if $(CLEAN),--clean $(filter-out 1,$(CLEAN)))

# Kill the acceptance trial at random moments on a local cloud, and clean up: make acceptance-kills [TIMES=10] [SEED=1]
acceptance-kills: setup
	@PYTHONPATH=tests/aws .venv/bin/python -m kills $(or $(TIMES),10) $(or $(SEED),1)

# Ask the local cloud for what AWS documents, and write localcloud/docs/conformance.md
conformance: setup
	@.venv/bin/python localcloud/scripts/conformance

# Judge the rendered policies by a public evaluator of IAM's rules: every call that dayfly makes, and every attack
permissions-proof: setup
	@scripts/setup-proof --required
	@PYTHONPATH=tests .venv/bin/python -m proof

# Count the requests to AWS of a launch, a retry and a sweep; fails above the limits
calls: setup
	@scripts/calls

# Plant faults in a local cloud, and show what `dayfly doctor` finds and whether what it prints helps
doctor-faults: setup
	@scripts/doctor-faults

# Time the article's launcher and dayfly's, cold and warm, on a local cloud: make bench [ROUNDS=9]
bench: setup
	@scripts/bench $(if $(ROUNDS),--rounds $(ROUNDS))

# Check the invariants in random worlds on the model cloud: make worlds N=1000 SEED=1
worlds: setup
	@scripts/worlds --worlds $(or $(N),1000) --seed $(or $(SEED),1)

# Plant known bugs in a copy of the source and print what catches each
planted: setup
	@PYTHONPATH=tests .venv/bin/python -m model.planted

# Fuzz events, objects in the bucket, files and tags, for some minutes: make fuzz [SEED=7]
fuzz: setup
	@scripts/fuzz $(if $(SEED),--seed $(SEED))

lock:
	@scripts/lock

format: setup
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .

# Print sizes, branches, cycles and docstrings by room. AT=REV: of a revision
figures: setup
	@scripts/figures $(if $(AT),--at $(AT))

# List candidates for removal; look at each by hand
dead-code: setup
	@.venv/bin/vulture
