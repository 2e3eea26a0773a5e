"""What `make install-lib` leaves behind is enough for a program, and shows nothing of the house."""
import os
import re
import shutil
import subprocess

import pytest

import drive
from drive import BUILD, ROOT

HELLO = r"""
#include <stdio.h>
#include <taxiway.h>
/* Names of the house's own: none of them may meet the library's. */
void die(void); void die(void) {}
int log_write; int buf_put; int loop_new; int env_encode;
int main(void)
{
	struct taxi *t = taxi_open(&(struct taxi_options){.bus = "ipc:///nowhere/bus", .name = "hello"});
	taxi_poll(t, 0);
	printf("%s %d %s\n", taxi_version(), taxi_is_up(t), taxi_code_name(taxi_publish(t, &(struct taxi_pub){.topic = "a.b"}, 50, NULL)));
	taxi_close(t);
	return 0;
}
"""


@pytest.fixture(scope="module")
def top():
    drive.c_driver()
    return drive.BIN.parent / "installed"


def pkg_config(top, *args):
    env = {**os.environ, "PKG_CONFIG_PATH": str(top / "usr/lib/pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(top)}
    return drive.run("pkg-config", *args, "taxiway", env=env).split()


def test_only_taxi_names_go_out(top):
    for lib, cmd in (("libtaxiway.so", ["nm", "-D"]), ("libtaxiway.a", ["nm", "-g"])):
        out = drive.run(*cmd, "--defined-only", top / "usr/lib" / lib)
        names = {line.split()[-1].split("@")[0] for line in out.splitlines() if len(line.split()) == 3}
        names = {n for n in names if not n.startswith(("TAXIWAY_", "__asan", "__odr_asan", "__gcov", "__llvm"))}
        assert len(names) > 60 and all(n.startswith("taxi_") for n in names), sorted(n for n in names if not n.startswith("taxi_"))[:20]
        header = set(re.findall(r"\b(taxi_[a-z_0-9]+)\(", (top / "usr/include/taxiway.h").read_text()))
        header = {n for n in header if not n.endswith("_fn")}
        assert names == header, f"{lib}: {names ^ header}"


def test_header_needs_nothing_else(top):
    header = (top / "usr/include/taxiway.h").read_text()
    assert set(re.findall(r"#include\s+[<\"]([^>\"]+)", header)) == {"stdbool.h", "stddef.h", "stdint.h"}
    for compiler, std in (("cc", "c99"), ("c++", "c++11")):
        if shutil.which(compiler):
            drive.run(compiler, f"-std={std}", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x",
                      "c" if compiler == "cc" else "c++", top / "usr/include/taxiway.h")


@pytest.mark.skipif(BUILD in ("asan", "tsan"), reason="a sanitizer's build is not for other programs")
@pytest.mark.parametrize("kind", ["shared", "static"])
def test_a_program_of_a_user(top, tmp_path, kind):
    (tmp_path / "hello.c").write_text(HELLO)
    flags = pkg_config(top, "--cflags", "--libs")
    if kind == "static":
        flags = [f"-I{top}/usr/include", f"{top}/usr/lib/libtaxiway.a", *[f for f in pkg_config(top, "--static", "--libs") if f != "-ltaxiway"]]
    drive.run("cc", "-std=c99", "hello.c", *flags, "-o", "hello", cwd=tmp_path)
    out = subprocess.run([tmp_path / "hello"], capture_output=True, text=True, timeout=60,
                         env={**os.environ, "LD_LIBRARY_PATH": str(top / "usr/lib") if kind == "shared" else ""})
    assert out.stdout.split() == [(ROOT / "VERSION").read_text().strip(), "0", "BUSY"], out


def test_the_program_in_the_readme(top, tmp_path):
    code = (ROOT / "clients/c/README.md").read_text().split("```c\n")[1].split("```")[0]
    (tmp_path / "prog.c").write_text(code)
    drive.run("cc", "-Wall", "-Wextra", "-Werror", "-c", "prog.c", *pkg_config(top, "--cflags"), cwd=tmp_path)
