# A thin front for CMake, Ninja and ctest: `make demo` and `make test` do everything on a fresh Debian 12, packages
# included. Another compiler: make test CC=clang CXX=clang++ BUILD=build-clang

BUILD ?= build
JOBS  ?= $(shell nproc)

cmake_options = $(if $(filter-out default,$(origin CC)),-DCMAKE_C_COMPILER=$(CC)) \
                $(if $(filter-out default,$(origin CXX)),-DCMAKE_CXX_COMPILER=$(CXX)) \
                $(if $(PREFIX),-DCMAKE_INSTALL_PREFIX=$(PREFIX))

.PHONY: all demo test bench check-sanitize format install clean default-model text-encoder tiny-language-model packages

all: packages
	@cmake -S . -B $(BUILD) -G Ninja $(cmake_options) > $(BUILD)-configure.log || { cat $(BUILD)-configure.log; exit 1; }
	@cmake --build $(BUILD) --parallel $(JOBS) -- --quiet

packages:
	@tools/install_packages.sh

demo: all
	@tools/demo.sh $(BUILD)

# Ends with ctest's own summary.
test: all
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS)

# Writes build/bench.csv; beside PyTorch where python3-torch is installed.
bench: all
	@bench/run.sh $(BUILD)

# AddressSanitizer and UndefinedBehaviorSanitizer over all tests.
check-sanitize: packages
	@cmake -S . -B build-sanitize -G Ninja -DCARINA_SANITIZE=ON $(cmake_options)
	@cmake --build build-sanitize --parallel $(JOBS) -- --quiet
	@ctest --test-dir build-sanitize --output-on-failure --parallel $(JOBS)

format:
	@tools/install_packages.sh clang-format
	@git ls-files '*.c' '*.h' '*.cc' | xargs clang-format -i

install: all
	@cmake --install $(BUILD)

# The run that made models/: starts it (or goes on) in runs/ and checks the first losses against the committed ones.
default-model: all
	@tools/default_model.sh $(BUILD)

# Trains a small text encoder in runs/text-small.
text-encoder: all
	@tools/text_encoder.sh $(BUILD)

# Trains a tiny Gemma 3 in runs/language-tiny.
tiny-language-model: all
	@tools/tiny_language_model.sh $(BUILD)

clean:
	@rm -rf build build-*
