# One Makefile, no recursion.  A directory is a program; every *.c in it is linked.
#   make [BUILD=debug|release|asan|tsan|cov]   make check   make lint   make fuzz   make sim   make chaos   make bench   make install
# A plugin is a directory below services/<service>/plugins/: its *.c are linked with everything of
# its service but main.c, and the program is called <kind>-<name> (watcher-file, pusher-postgres).
BUILD   ?= debug
O       := build/$(BUILD)
PKGCONF ?= pkg-config
CC      ?= gcc
ifeq ($(BUILD),fuzz)
CC      := clang
endif

# Debian 12 calls it "msgpack", upstream >= 6 calls it "msgpack-c".
MSGPACK := $(shell $(PKGCONF) --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)

LIBDIRS  := base proto
SHARED   := store fetch
SERVICES := $(wildcard services/*)
PROGS    := broker edge-http cli $(SERVICES)
PLUGINS  := $(sort $(patsubst %/,%,$(dir $(wildcard services/*/plugins/*/*.c))))
SCRIPTED := $(sort $(foreach k,watcher pusher source provider,$(filter-out %.c,$(wildcard services/*/plugins/*/$(k)))))

# Packages: everybody links PKGS; the rest is named by who may use it (scripts/check-layers.sh).
PKGS           := libczmq libzmq $(MSGPACK) jansson libsodium
PKGS_broker    := sqlite3
PKGS_edge-http := libmicrohttpd zlib
PKGS_store     := libpq
PKGS_fetch     := libcurl
PKGS_services/service-gateway := yaml-0.1
ALLPKGS := $(PKGS) $(PKGS_broker) $(PKGS_edge-http) $(PKGS_store) $(PKGS_fetch) yaml-0.1

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes \
	-Wmissing-prototypes -Wwrite-strings -Wpointer-arith -Wcast-qual -Wundef -Wvla \
	-Wformat=2 -Wimplicit-fallthrough -Wswitch-enum -Wdouble-promotion
ifneq ($(findstring clang,$(shell $(CC) --version | head -1)),)
WARN += -Wshorten-64-to-32 -Wcomma -Wassign-enum -Wconditional-uninitialized -Wextra-semi-stmt
else
WARN += -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Wformat-signedness
endif
# The fuzzers' clang does not know what uthash means; gcc and the lint have read these files.
ifeq ($(BUILD),fuzz)
WARN := -w
endif
# Optimized builds inline enough for this one to guess wrong.
WARN += $(if $(filter debug,$(BUILD)),-Wnull-dereference)
HARD := -fstack-protector-strong -fstack-clash-protection -fno-common -fPIE
SAN_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SAN_tsan := -fsanitize=thread
SAN_cov  := --coverage
SAN_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
OPT_debug   := -Og -g3
OPT_release := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
OPT := $(or $(OPT_$(BUILD)),-O1 -g3)
SAN := $(SAN_$(BUILD))

note     = $(if $(findstring s,$(firstword -$(MAKEFLAGS))),@:,@echo)
VERSION := $(shell cat VERSION)
inc      = $(patsubst -I%,-isystem %,$(shell $(PKGCONF) --cflags $(1)))
CPPFLAGS += -I. -D_GNU_SOURCE -DTAXI_VERSION=\"$(VERSION)\" $(call inc,$(ALLPKGS))
CFLAGS   += -std=c11 $(OPT) $(WARN) $(HARD) $(SAN) $(if $(WERROR),-Werror)
LDFLAGS  += -pie -Wl,-z,relro,-z,now $(SAN)
libs      = $(shell $(PKGCONF) --libs $(1))
LIBS     := $(call libs,$(PKGS)) -lm -lpthread
LIBS_SHARED := $(call libs,$(PKGS_store) $(PKGS_fetch))

src  = $(wildcard $(1)/*.c)
obj  = $(patsubst %.c,$(O)/%.o,$(1))
LIB     := $(O)/libtaxiway.a
SHAREDA := $(O)/libshared.a
TSRC := $(wildcard tests/unit/test_*.c)
TBIN := $(patsubst %.c,$(O)/%,$(TSRC))
XSRC := $(wildcard examples/*.c)
XBIN := $(patsubst %.c,$(O)/bin/%,$(notdir $(XSRC)))
# The bench: a program a peer, sharing bench/lib.  One whose library is not installed is left out.
PKGS_bench/echo        :=
PKGS_bench/hello       := libmicrohttpd
PKGS_bench/peer_taxi   :=
PKGS_bench/peer_zmq    :=
PKGS_bench/peer_wire   :=
PKGS_bench/peer_sqlite := sqlite3
PKGS_bench/peer_nats   := libnats
PKGS_bench/peer_redis  := hiredis
PKGS_bench/peer_rabbit := librabbitmq
PKGS_bench/peer_mosquitto := libmosquitto
have   = $(or $(if $(strip $(1)),,yes),$(shell $(PKGCONF) --exists $(1) && echo yes))
BSRC  := $(foreach b,$(wildcard bench/*.c),$(if $(call have,$(PKGS_$(b:.c=))),$(b)))
BLIB  := $(wildcard bench/lib/*.c)
BBIN  := $(patsubst bench/%.c,$(O)/bench/%,$(BSRC))
FUZZ := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))
CLIENTC := clients/c
DIRS := $(LIBDIRS) $(SHARED) $(PROGS) $(PLUGINS) $(CLIENTC)
SRC  := $(foreach d,$(DIRS),$(call src,$(d)))
HDR  := $(foreach d,$(DIRS),$(wildcard $(d)/*.h))

# services/x/plugins/name/kind.c -> kind-name
plugname = $(firstword $(filter watcher pusher source provider,$(basename $(notdir $(call src,$(1))))))-$(notdir $(1))
progname = $(if $(filter cli,$(1)),taxi,$(notdir $(1)))
service  = $(firstword $(subst /plugins/, ,$(1)))
BINS  := $(foreach p,$(PROGS),$(if $(call src,$(p)),$(O)/bin/$(call progname,$(p)))) \
	 $(foreach p,$(PLUGINS),$(O)/bin/$(call plugname,$(p))) \
	 $(foreach s,$(SCRIPTED),$(O)/bin/$(notdir $(s))-$(notdir $(patsubst %/,%,$(dir $(s)))))

all: $(BINS)

$(O)/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(note) "  CC   $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A service carries its announcement inside: services/x/api.json becomes the symbols api_json[], api_json_end[].
$(O)/%/api_json.o: %/api.json Makefile
	@mkdir -p $(@D)
	$(note) "  EMBED $<"
	@printf '.section .rodata\n.global api_json\n.global api_json_end\napi_json:\n.incbin "%s"\napi_json_end:\n.byte 0\n.section .note.GNU-stack,"",@progbits\n' '$<' | $(CC) -c -x assembler -o $@ -

$(LIB): $(call obj,$(foreach d,$(LIBDIRS),$(call src,$(d))))
	$(note) "  AR   $@"
	@rm -f $@ && $(AR) rcs $@ $^

$(SHAREDA): $(call obj,$(foreach d,$(SHARED),$(call src,$(d))))
	$(note) "  AR   $@"
	@rm -f $@ && $(AR) rcs $@ $^

# The library of users' programs: the house's own names stay inside, only taxi_* goes out.  The .a
# is one object, so that a user's log_write or die does not meet ours.
SOVER  := $(firstword $(subst ., ,$(VERSION)))
PICOBJ := $(patsubst $(O)/%,$(O)/pic/%,$(call obj,$(foreach d,$(LIBDIRS) $(CLIENTC),$(call src,$(d)))))
CLIENTLIBS := $(O)/lib/libtaxiway.a $(O)/lib/libtaxiway.so.$(SOVER)
$(O)/pic/%.o: %.c Makefile VERSION
	@mkdir -p $(@D)
	$(note) "  CC   $< (pic)"
	@$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -MMD -MP -c -o $@ $<
$(O)/lib/libtaxiway.a: $(PICOBJ)
	@mkdir -p $(@D)
	$(note) "  AR   $@"
	@ld -r -o $(O)/lib/taxiway.o $^ && objcopy -w --keep-global-symbol='taxi_*' $(O)/lib/taxiway.o
	@rm -f $@ && $(AR) rcs $@ $(O)/lib/taxiway.o
$(O)/lib/libtaxiway.so.$(SOVER): $(PICOBJ) $(CLIENTC)/taxiway.map
	@mkdir -p $(@D)
	$(note) "  LD   $@"
	@$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(@F) -Wl,--version-script,$(CLIENTC)/taxiway.map \
		$(if $(SAN),,-Wl,-z,defs) -o $@ $(PICOBJ) $(LIBS)
	@ln -sf $(@F) $(O)/lib/libtaxiway.so
clientlibs: $(CLIENTLIBS)

usesshared = $(if $(filter services/%,$(1)),$(SHAREDA))
linklibs   = $(LIBS) $(if $(PKGS_$(1)),$(call libs,$(PKGS_$(1)))) $(if $(filter services/%,$(1)),$(LIBS_SHARED))

# A program: main.o first, the rest of its folder as an archive that plugins and unit tests share.
define prog
$(O)/parts/$(notdir $(1)).a: $(call obj,$(filter-out %/main.c,$(call src,$(1)))) $(if $(wildcard $(1)/api.json),$(O)/$(1)/api_json.o)
	@mkdir -p $$(@D)
	@rm -f $$@ && $(AR) rcs $$@ $$^
PARTS += $(O)/parts/$(notdir $(1)).a
$(O)/bin/$(call progname,$(1)): $(O)/$(1)/main.o $(O)/parts/$(notdir $(1)).a $(call usesshared,$(1)) $(LIB)
	@mkdir -p $$(@D)
	$(note) "  LD   $$@"
	@$(CC) $(LDFLAGS) -o $$@ $$^ $$(call linklibs,$(1))
endef
$(foreach p,$(PROGS),$(if $(call src,$(p)),$(eval $(call prog,$(p)))))

# The files of a plugin beside the one with main() are an archive too, for the unit tests.
plugmods = $(call obj,$(filter-out %/watcher.c %/pusher.c %/source.c %/provider.c,$(call src,$(1))))
define plugin
$(if $(call plugmods,$(1)),$(O)/parts/$(call plugname,$(1)).a: $(call plugmods,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@ && $(AR) rcs $$@ $$^
PARTS += $(O)/parts/$(call plugname,$(1)).a)
$(O)/bin/$(call plugname,$(1)): $(call obj,$(call src,$(1))) $(O)/parts/$(notdir $(call service,$(1))).a $(SHAREDA) $(LIB)
	@mkdir -p $$(@D)
	$(note) "  LD   $$@"
	@$(CC) $(LDFLAGS) -o $$@ $$^ $$(call linklibs,$(call service,$(1)))
endef
$(foreach p,$(PLUGINS),$(eval $(call plugin,$(p))))

define scripted
$(O)/bin/$(notdir $(1))-$(notdir $(patsubst %/,%,$(dir $(1)))): $(1)
	@mkdir -p $$(@D) && install -m 755 $$< $$@
endef
$(foreach s,$(SCRIPTED),$(eval $(call scripted,$(s))))

# An example links the users' library and nothing else.
define single
$(O)/bin/$(basename $(notdir $(1))): $(call obj,$(1)) $(O)/lib/libtaxiway.a
	@mkdir -p $$(@D)
	$(note) "  LD   $$@"
	@$(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS)
endef
$(foreach x,$(XSRC),$(eval $(call single,$(x))))
$(call obj,$(wildcard examples/*.c)): CPPFLAGS += -I$(CLIENTC)
examples: $(foreach x,$(wildcard examples/*.c),$(O)/bin/$(basename $(notdir $(x))))
$(BBIN): $(O)/bench/%: $(O)/bench/%.o $(call obj,$(BLIB)) $(LIB)
	$(note) "  LD   $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(if $(PKGS_bench/$*),$(call libs,$(PKGS_bench/$*)))
benches: $(BBIN)

# The processes that tests/chaos kills.
HAND := $(O)/tests/chaos/hand
$(HAND): $(call obj,$(wildcard tests/chaos/*.c)) $(LIB)
	$(note) "  LD   $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
hand: $(HAND)

# Histories of the scheduling core against a naive model, one a seed: make BUILD=asan sim [SEEDS=…] [FROM=…]
SIM := $(O)/tests/sim/sim
$(SIM): $(call obj,$(wildcard tests/sim/*.c)) $(O)/parts/broker.a $(LIB)
	$(note) "  LD   $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(call libs,$(PKGS_broker))
sim: $(SIM)
	$(SIM) --seeds $(or $(SEEDS),10000) --from $(or $(FROM),1)
# It sees a core that is broken on purpose, in each of many ways.
sim-mutants:
	tests/sim/mutants.sh

# A test links the archives of the rooms whose headers it reads, and no others: two rooms may have a
# module of one name.
rooms = grep -ohE '(broker|edge-http|cli|services/[a-z-]+(/plugins/[a-z-]+)?)/[a-z_0-9]+\.h' $(1) | \
	sed -E 's|/[^/]*$$||; s|services/([a-z-]+)/plugins/([a-z-]+)|\1 *-\2|; s|services/||' | tr ' ' '\n' | sort -u | \
	sed 's|.*|$(O)/parts/&.a|'
$(TBIN): $(O)/%: $(O)/%.o $(PARTS) $(SHAREDA) $(LIB)
	$(note) "  LD   $@"
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $$($(call rooms,$(O)/$*.d)) $(SHAREDA) $(LIB) -Wl,--end-group \
		$(call libs,$(ALLPKGS)) -lm -lpthread
units: $(TBIN)

check: all units
	prove -j2 --exec 'env TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp:allocator_may_return_null=1' $(TBIN)

# libFuzzer is clang's, and wants a tree of its own.
ifeq ($(BUILD),fuzz)
fuzzers: $(FUZZ)
$(O)/fuzz_%: $(O)/tests/fuzz/fuzz_%.o $(O)/parts/broker.a $(LIB)
	$(note) "  LD   $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(call linklibs,broker)
else
fuzzers:
	$(MAKE) -s BUILD=fuzz fuzzers
$(FUZZ): fuzzers
endif
# A run ends when its time is up or at the first crash; new inputs stay under build/, crashes too.
fuzz: $(addprefix run-,$(notdir $(FUZZ)))
run-fuzz_%: build/fuzz/fuzz_%
	@mkdir -p build/corpus/fuzz_$*
	@cd build/fuzz && ./fuzz_$* -max_total_time=$(or $(FUZZ_SECS),20) -max_len=4096 -verbosity=0 \
		../corpus/fuzz_$* $(CURDIR)/tests/fuzz/corpus/fuzz_$* && echo "fuzz ok: $*"

# Real kills: many short rounds on a small set-up, a few on a whole installation.  Long by name:
#   make chaos ROUNDS=1000 [SEED=…]   make chaos-house ROUNDS=1000 ROWS=5000000 [SEED=…]
chaos: $(O)/bin/broker $(O)/bin/edge-http hand
	TAXI_BIN=$(O)/bin tests/chaos/chaos.py --rounds $(or $(ROUNDS),25) $(if $(SEED),--seed $(SEED))
chaos-prove: $(O)/bin/broker $(O)/bin/edge-http hand
	TAXI_BIN=$(O)/bin tests/chaos/chaos.py --prove --rounds $(or $(ROUNDS),25) $(if $(SEED),--seed $(SEED))
chaos-house:
	tests/chaos/house.py --rounds $(or $(ROUNDS),10) --rows $(or $(ROWS),100000) $(if $(SEED),--seed $(SEED))

# Side by side with its peers, in one run (bench/run.py --help): make bench [BENCH="--runs 3 --secs 0.5"]
bench:
	$(MAKE) -s BUILD=release all benches
	bench/run.py --build build/release --write docs/benchmarks.md $(BENCH)

# make install [PREFIX=/usr/local] [DESTDIR=…] [BUILD=release]: programs, and what who builds on the bus needs.
PREFIX ?= /usr/local
to = $(DESTDIR)$(PREFIX)
install: all install-lib cli-files
	install -d $(to)/bin $(to)/share/doc/taxiway/examples
	install -m 755 $(BINS) $(to)/bin
	cp examples/* clients/python/*.py clients/node/*.mjs clients/node/package.json proto/PROTOCOL.md $(to)/share/doc/taxiway/examples
	sed -i 's|\.\./clients/node/|./|' $(to)/share/doc/taxiway/examples/worker.mjs
	install -D -m 644 $(O)/taxi.1 $(to)/share/man/man1/taxi.1
	install -D -m 644 $(O)/taxi.bash $(to)/share/bash-completion/completions/taxi
	install -D -m 644 $(O)/taxi.zsh $(to)/share/zsh/vendor-completions/_taxi
	install -D -m 644 $(O)/taxi.fish $(to)/share/fish/vendor_completions.d/taxi.fish
# The manual and the completions are made from the command line's own tables.
cli-files: $(O)/taxi.1 $(O)/taxi.bash $(O)/taxi.zsh $(O)/taxi.fish
$(O)/taxi.1: $(O)/bin/taxi
	@$< help --man >$@
$(O)/taxi.%: $(O)/bin/taxi
	@$< completion $* >$@
install-lib: clientlibs
	install -d $(to)/include $(to)/lib/pkgconfig
	install -m 644 $(CLIENTC)/taxiway.h $(to)/include
	install -m 644 $(O)/lib/libtaxiway.a $(to)/lib
	install -m 755 $(O)/lib/libtaxiway.so.$(SOVER) $(to)/lib/libtaxiway.so.$(VERSION)
	ln -sf libtaxiway.so.$(VERSION) $(to)/lib/libtaxiway.so.$(SOVER)
	ln -sf libtaxiway.so.$(SOVER) $(to)/lib/libtaxiway.so
	sed 's|@prefix@|$(PREFIX)|; s|@version@|$(VERSION)|; s|@libs@|$(LIBS)|' $(CLIENTC)/taxiway.pc.in >$(to)/lib/pkgconfig/taxiway.pc

headers:
	@for h in $(HDR); do $(CC) $(CPPFLAGS) -std=c11 -fsyntax-only -x c -include $$h /dev/null || exit 1; done; echo "headers ok: $(words $(HDR))"
compile_commands.json: Makefile $(SRC) $(TSRC)
	@{ echo '['; sep=; for f in $(SRC) $(TSRC) $(XSRC) $(BSRC) $(BLIB); do printf '%s{"directory":"%s","file":"%s","command":"%s"}' "$$sep" "$(CURDIR)" "$$f" \
	  '$(subst ",\",$(subst \,\\,$(CC) $(CPPFLAGS) $(filter-out -Werror,$(CFLAGS)) -Wno-unknown-warning-option)) -c '"$$f"; sep=','; done; echo ']'; } > $@
lint: compile_commands.json headers
	scripts/check-layers.sh
	scripts/check-style.sh
	printf '%s\n' $(SRC) | xargs -P$(shell nproc) -n1 clang-tidy --quiet -p . --checks='-clang-analyzer-*'
	cppcheck --quiet -j2 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=normalCheckLevelMaxBranches -DTAXI_VERSION='""' --include=scripts/cppcheck.h -I. $(SRC)
	shellcheck -x scripts/*.sh .ci/run
# The path-sensitive part of clang-tidy: four minutes of one core, so by name.
analyze: compile_commands.json
	printf '%s\n' $(SRC) | xargs -P$(shell nproc) -n1 clang-tidy --quiet -p . --checks='-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling'
format:
	clang-format -i $(SRC) $(HDR) $(TSRC) $(wildcard tests/unit/*.h) $(XSRC) $(wildcard bench/*.c bench/lib/*)

clean: ; rm -rf build compile_commands.json
print-%: ; @echo $($*)
.PHONY: all install install-lib cli-files clientlibs check units hand examples benches fuzz fuzzers sim sim-mutants chaos chaos-prove chaos-house bench headers lint analyze format clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(patsubst %.o,%.d,$(call obj,$(SRC) $(TSRC) $(XSRC) $(BSRC) $(BLIB) $(wildcard tests/chaos/*.c tests/sim/*.c))) $(PICOBJ:.o=.d)
