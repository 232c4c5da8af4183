# The first command on a fresh machine just works: every target installs what it needs first (Debian
# and Ubuntu packages, tools/packages) and calls Meson, which knows how things are built.
#
#   make build        build/hone, build/libhone.so, build/libhone.a, build/libhone-profile.{so,a}
#   make demo         record a program that nobody prepared, and show where its time went
#   make test         everything that can be checked;  make test-quick: without what takes long
#   make bench        the costs beside those of other tools
#   make lint         clang-tidy and the checks of the build
#   make fuzz         every decoder against random bytes, FUZZ_SECONDS each
#   make install      PREFIX, DESTDIR

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60

.DEFAULT_GOAL := build
.PHONY: build demo test test-quick bench lint fuzz install clean deps deps-test deps-lint \
	deps-fuzz deps-bench

build: deps $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null

demo: build
	@BUILD=$(BUILD) tools/demo

test: deps deps-test deps-lint deps-fuzz
	@tools/test.py

test-quick: deps deps-test
	@tools/test.py --quick

bench: deps deps-bench build
	@BUILD=$(BUILD) bench/run

lint: deps deps-test deps-lint
	@tools/test.py --only lint --only checks

fuzz: deps deps-fuzz
	@tools/fuzz $(FUZZ_SECONDS)

install: build
	@meson configure $(BUILD) --prefix=$(PREFIX) >/dev/null
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD) --quiet

clean:
	@rm -rf build build-*/

deps:
	@tools/deps build
deps-test:
	@tools/deps build test
deps-lint:
	@tools/deps lint
deps-fuzz:
	@tools/deps build fuzz
deps-bench:
	@tools/deps build bench
