"""What may vary, and what a process's environment must be for it."""

from dataclasses import replace

import pytest

from seedbed.condition import CONDITIONS, LEVELS, Cpu, Variant, check_names, level_environ, shortfall, variants
from seedbed.environment import InForce
from seedbed.errors import ConfigError

CPU = Cpu(
    cores=2,
    features=frozenset({"sse4_1", "avx2", "fma", "avx512f"}),
    numpy_features=("X86_V3", "X86_V4", "AVX512_ICL"),
    machine="x86_64",
)


def made(condition: str, cpu: Cpu = CPU, device: str = "cpu") -> dict[str, Variant]:
    variants_made, _ = variants([condition], device=device, seed=1337, cpu=cpu)
    return {variant.label: variant for variant in variants_made}


def skipped(condition: str, cpu: Cpu = CPU, device: str = "cpu") -> dict[str, str]:
    return {skip.setting: skip.reason for skip in variants([condition], device=device, seed=1337, cpu=cpu)[1]}


def test_each_level_sets_what_no_later_call_can() -> None:
    assert level_environ("none", 7) == {}
    assert level_environ("seeded", 7) == {"PYTHONHASHSEED": "7"}
    assert level_environ("deterministic", 7) == {
        "PYTHONHASHSEED": "7",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TORCHINDUCTOR_DETERMINISTIC": "1",
    }


def test_names_come_back_in_their_own_order() -> None:
    assert check_names("level", ["seeded", "none"], LEVELS) == ("none", "seeded")


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="there is no condition 'thread': there are rerun, hashseed, threads"):
        check_names("condition", ["rerun", "thread"], CONDITIONS)


def test_the_baseline_comes_first_and_changes_nothing() -> None:
    first = variants(CONDITIONS, device="cpu", seed=1337, cpu=CPU)[0][0]
    assert first == Variant(condition="baseline")
    assert first.label == "baseline"


def test_rerun_is_a_fresh_process_and_repeats_in_another() -> None:
    assert list(made("rerun")) == ["baseline", "rerun=process", "rerun=repeats"]
    assert made("rerun")["rerun=repeats"].repeats == 40
    assert made("rerun")["rerun=process"].environ == {}


@pytest.mark.parametrize(("seed", "other"), [(1337, "1338"), (2**32 - 1, "0")])
def test_hashseed_is_another_valid_one(seed: int, other: str) -> None:
    variant = variants(["hashseed"], device="cpu", seed=seed, cpu=CPU)[0][1]
    assert variant.environ == {"PYTHONHASHSEED": other}


@pytest.mark.parametrize(("cores", "counts"), [(1, ["1", "2"]), (2, ["1", "2", "4"]), (16, ["1", "16", "32"])])
def test_threads_are_one_all_and_more_than_there_are(cores: int, counts: list[str]) -> None:
    variants_made = list(made("threads", replace(CPU, cores=cores)).values())[1:]
    assert [variant.setting for variant in variants_made] == counts
    assert variants_made[-1].environ == {
        "OMP_NUM_THREADS": counts[-1],
        "MKL_NUM_THREADS": counts[-1],
        "MKL_DYNAMIC": "FALSE",
        "OPENBLAS_NUM_THREADS": counts[-1],
    }


def test_an_older_cpu_is_six_variables_together() -> None:
    assert made("isa")["isa=sse4"].environ == {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Prescott",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX,-AVX512F,-AVX512VL",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
    }
    assert made("isa")["isa=avx2"].environ["NPY_DISABLE_CPU_FEATURES"] == "X86_V4 AVX512_ICL"


def test_numpy_features_of_before_2_4_are_known_by_their_names() -> None:
    older = replace(CPU, numpy_features=("SSSE3", "SSE42", "AVX", "F16C", "FMA3", "AVX2", "AVX512F", "AVX512_SKX"))
    assert made("isa", older)["isa=sse4"].environ["NPY_DISABLE_CPU_FEATURES"] == (
        "AVX F16C FMA3 AVX2 AVX512F AVX512_SKX"
    )
    assert made("isa", older)["isa=avx2"].environ["NPY_DISABLE_CPU_FEATURES"] == "AVX512F AVX512_SKX"


def test_a_cpu_on_which_numpy_has_nothing_to_disable_sets_nothing_for_it() -> None:
    older = replace(CPU, features=frozenset({"sse4_1"}), numpy_features=())
    assert list(made("isa", older)) == ["baseline", "isa=sse4"]
    assert "NPY_DISABLE_CPU_FEATURES" not in made("isa", older)["isa=sse4"].environ
    assert skipped("isa", older) == {"avx2": "this CPU has no avx2, fma"}


def test_another_architecture_has_no_such_switches() -> None:
    arm = replace(CPU, machine="aarch64")
    assert list(made("isa", arm)) == ["baseline"]
    assert skipped("isa", arm) == {"": "the switches between instruction sets are for x86-64; this is aarch64"}


@pytest.mark.parametrize("condition", ["threads", "isa"])
def test_conditions_of_the_cpu_are_skipped_on_a_gpu(condition: str) -> None:
    assert list(made(condition, device="cuda")) == ["baseline"]
    assert skipped(condition, device="cuda") == {"": f"{condition} is about the CPU"}


def test_variants_are_made_for_the_device() -> None:
    assert {variant.device for variant in made("rerun", device="cuda").values()} == {"cuda"}


def test_device_needs_no_variant_of_its_own() -> None:
    assert list(made("device")) == ["baseline"]


@pytest.mark.parametrize(
    ("label", "threads", "isa", "expected"),
    [
        ("threads=4", {"torch": 4, "openblas": 2}, {}, None),
        ("threads=4", {"torch": 2}, {}, "asked for 4 threads, torch has 2"),
        ("threads=4", {"openblas": 2}, {}, None),
        ("isa=sse4", {}, {"aten": "DEFAULT"}, None),
        ("isa=sse4", {}, {"aten": "AVX512"}, "asked for sse4, ATen uses AVX512"),
        ("isa=avx2", {}, {}, None),
        ("isa=sse4", {}, {"numpy kernels": "baseline"}, None),
        ("isa=sse4", {}, {"numpy kernels": "X86_V3 baseline"}, "asked for sse4, NumPy uses X86_V3"),
        ("isa=avx2", {}, {"numpy kernels": "X86_V3 baseline"}, None),
        ("isa=avx2", {}, {"numpy kernels": "X86_V4 X86_V3"}, "asked for avx2, NumPy uses X86_V4"),
        ("rerun=process", {"torch": 3}, {"aten": "AVX2"}, None),
    ],
)
def test_what_did_not_take_effect_is_said(
    label: str, threads: dict[str, int], isa: dict[str, str], expected: str | None
) -> None:
    variant = made(label.partition("=")[0])[label]
    assert shortfall(variant, InForce(threads=threads, isa=isa)) == expected
