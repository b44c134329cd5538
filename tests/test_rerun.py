"""The check itself, with real worker processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil
import pytest

from seedbed import environment
from seedbed.condition import Cpu
from seedbed.errors import ConfigError, ExperimentError, RecordError
from seedbed.progress import Tick
from seedbed.promise import Promises, parse
from seedbed.record import Cell, Record, Stored, read
from seedbed.rerun.check import make_record, run
from seedbed.rerun.partial import Header, Partial, latest
from seedbed.rerun.plan import Plan, make_plan
from seedbed.storage import dumps
from tests.conftest import Write

CPU = Cpu(cores=2, features=frozenset({"sse4_1", "avx2", "fma"}), numpy_features=(), machine="x86_64")
HERE = environment.read()


def planned(
    *experiments: str,
    levels: Iterable[str] = ("none",),
    conditions: Iterable[str] = ("rerun",),
    device: str = "cpu",
    no_gpu: str | None = "no CUDA GPU",
    seed: int = 1337,
) -> Plan:
    return make_plan(
        experiments, levels=levels, conditions=conditions, device=device, no_gpu=no_gpu, seed=seed, cpu=CPU
    )


def ignore(_: Tick) -> None:
    """Show nothing."""


def check(plan: Plan, promises: Promises | None = None, *, time_limit: float = 60.0, out: str = "out") -> Record:
    partial = Partial.start(Path(out), Header(plan=plan, environment=HERE))
    run(partial, slots=2, time_limit=time_limit, tick=ignore)
    return make_record(partial, Path(out), promises or Promises())


def cells(record: Record, function: str) -> dict[str, Cell]:
    return {
        f"{cell.level} {cell.condition}={cell.setting}": cell
        for cell in record.cells
        if cell.experiment == f"study:{function}"
    }


# the plan


def test_a_plan_has_one_process_for_each_level_and_variant_the_baselines_first() -> None:
    plan = planned("a:f", "b:g", levels=["seeded", "none"], conditions=["rerun", "hashseed"])
    assert [(job.variant.label, job.level) for job in plan.jobs] == [
        ("baseline", "none"),
        ("baseline", "seeded"),
        ("rerun=process", "none"),
        ("rerun=process", "seeded"),
        ("rerun=repeats", "none"),
        ("rerun=repeats", "seeded"),
        ("hashseed=1338", "none"),
        ("hashseed=1338", "seeded"),
    ]
    assert {job.experiments for job in plan.jobs} == {("a:f", "b:g")}
    assert plan.cells == 16


def test_an_experiment_named_twice_is_run_once() -> None:
    assert planned("a:f", "a:f").experiments == ("a:f",)


def test_order_runs_the_experiments_backwards() -> None:
    assert planned("a:f", "b:g", conditions=["order"]).jobs[1].experiments == ("b:g", "a:f")


def test_order_runs_built_in_experiments_before_a_single_one() -> None:
    first, second, last = planned("a:f", conditions=["order"]).jobs[1].experiments
    assert (first, second) == ("seedbed.suite.numerics:linalg", "seedbed.suite.training:mlp")
    assert last == "a:f"


def test_order_does_not_run_a_built_in_experiment_before_itself() -> None:
    plan = planned("seedbed.suite.training:mlp", conditions=["order"])
    assert plan.jobs[1].experiments == ("seedbed.suite.numerics:linalg", "seedbed.suite.training:mlp")


@pytest.mark.parametrize(
    ("device", "no_gpu", "expected"),
    [
        ("cpu", None, ["cpu baseline", "cpu threads=1", "cpu threads=2", "cpu threads=4"]),
        ("auto", "none", ["cpu baseline", "cpu threads=1", "cpu threads=2", "cpu threads=4"]),
        ("auto", None, ["cpu baseline", "cuda baseline", "cpu threads=1", "cpu threads=2", "cpu threads=4"]),
        ("cuda", None, ["cpu baseline", "cuda baseline"]),
    ],
)
def test_devices(device: str, no_gpu: str | None, expected: list[str]) -> None:
    plan = planned("a:f", conditions=["threads", "device"], device=device, no_gpu=no_gpu)
    assert [f"{job.variant.device} {job.variant.label}" for job in plan.jobs] == expected


def test_a_device_alone_is_not_compared_unless_asked_for() -> None:
    plan = planned("a:f", conditions=["rerun"], device="cuda", no_gpu=None)
    assert plan.devices == ("cuda",)
    assert plan.skipped == ()


def test_a_missing_gpu_is_a_skip_with_its_reason() -> None:
    (skip,) = planned("a:f", conditions=["device"], device="auto", no_gpu="no CUDA GPU").skipped
    assert (skip.condition, skip.reason) == ("device", "no CUDA GPU")


def test_names_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ExperimentError, match="named package"):
        planned("nothing")
    with pytest.raises(ConfigError, match="there is no level 'seed'"):
        planned("a:f", levels=["seed"])


# what is found


def test_a_check_finds_what_varies_and_what_does_not(study: Write) -> None:
    study("""
        import random
        import numpy as np

        def fixed(*, seed):
            return {"x": np.arange(5) * seed}

        def drawn(*, seed):
            return {"x": random.random()}

        def hashed(*, seed):
            return {"order": [list({"one", "two", "three", "four", "five", "six"}).index("one"), hash("one")]}
    """)
    record = check(
        planned(
            "study:fixed", "study:drawn", "study:hashed", levels=["none", "seeded"], conditions=["rerun", "hashseed"]
        )
    )
    relations = {
        name: {key: cell.comparison.relation.value for key, cell in cells(record, name).items() if cell.comparison}
        for name in ("fixed", "drawn", "hashed")
    }
    assert set(relations["fixed"].values()) == {"identical"}
    assert relations["drawn"] == {
        "none rerun=process": "different",
        "none rerun=repeats": "different",
        "none hashseed=1338": "different",
        "seeded rerun=process": "identical",
        "seeded rerun=repeats": "identical",
        "seeded hashseed=1338": "identical",
    }
    assert relations["hashed"]["none rerun=process"] == "different"
    assert relations["hashed"]["seeded rerun=process"] == "identical"
    assert relations["hashed"]["seeded hashseed=1338"] == "different"
    repeats = cells(record, "drawn")["none rerun=repeats"]
    assert repeats.runs > 2
    assert repeats.varied == repeats.runs - 1
    assert cells(record, "drawn")["seeded rerun=repeats"].varied == 0


def test_order_finds_an_experiment_that_depends_on_what_ran_before(study: Write) -> None:
    study("""
        ran = []

        def first(*, seed):
            ran.append("first")
            return {"x": 1}

        def second(*, seed):
            return {"before": len(ran)}
    """)
    record = check(planned("study:first", "study:second", conditions=["order"]))
    comparisons = [cells(record, name)["none order=reversed"].comparison for name in ("first", "second")]
    assert [found and found.relation.value for found in comparisons] == ["identical", "different"]


def test_what_varies_only_inside_one_process_is_found(study: Write) -> None:
    study("""
        calls = 0

        def stateful(*, seed):
            global calls
            calls += 1
            return {"third": calls == 3}
    """)
    record = check(planned("study:stateful"))
    found = cells(record, "stateful")
    assert found["none rerun=process"].comparison is not None
    assert found["none rerun=process"].comparison.relation.value == "identical"
    assert found["none rerun=repeats"].varied == 1
    assert found["none rerun=repeats"].comparison is not None
    assert found["none rerun=repeats"].comparison.relation.value == "different"


def test_levels_are_in_force_when_the_experiment_runs(study: Write) -> None:
    study("""
        import os
        import torch

        def flags(*, seed):
            return {
                "deterministic": torch.are_deterministic_algorithms_enabled(),
                "seed": torch.initial_seed() == seed,
                "hashseed": int(os.environ.get("PYTHONHASHSEED", -1)),
            }
    """)
    record = check(planned("study:flags", levels=["none", "seeded", "deterministic"], conditions=[]))
    stored = read(Path("out"))
    results = {
        cell.level: {key: bits.array.item() for key, bits in stored.results(cell).items()}
        for cell in stored.record.baselines()
    }
    assert results == {
        "none": {"deterministic": False, "seed": False, "hashseed": -1},
        "seeded": {"deterministic": False, "seed": True, "hashseed": 1337},
        "deterministic": {"deterministic": True, "seed": True, "hashseed": 1337},
    }
    flags = {run.level: run.flags for run in record.runs}
    assert flags["none"] is not None
    assert flags["deterministic"] is not None
    assert flags["none"].deterministic_algorithms == "off"
    assert flags["deterministic"].deterministic_algorithms == "error"


def test_at_level_portable_experiments_run_in_portable_mode(study: Write) -> None:
    study("""
        import numpy as np
        import torch

        def product(*, seed):
            x = torch.rand(64, 64)
            return {"product": (x / 3) @ x, "in_mode": torch.utils._python_dispatch.is_in_torch_dispatch_mode()}

        def numpys(*, seed):
            return {"sum": np.ones(3).sum()}

        def refused(*, seed):
            return {"values": torch.linalg.eigvals(torch.eye(2))}
    """)
    names = ["study:product", "study:numpys", "study:refused"]
    record = check(planned(*names, levels=["portable"], conditions=["threads", "isa"]))
    cells = {(cell.experiment, cell.condition): cell for cell in record.cells if cell.setting in ("", "default", "2")}
    product, numpys, refused = (cells[name, "baseline"] for name in names)
    assert product.status == "done"
    assert {cell.comparison.relation.value for cell in record.cells if cell.comparison} == {"identical"}
    assert numpys.status == "skipped"
    assert numpys.reason == "no operation of PyTorch ran: portable mode is about PyTorch alone"
    assert refused.status == "failed"
    assert refused.reason is not None
    assert "aten.linalg_eig.default has no portable form" in refused.reason


def test_threads_and_isa_are_in_force_and_recorded(study: Write) -> None:
    study("""
        import torch

        def product(*, seed):
            return {"threads": torch.get_num_threads()}
    """)
    record = check(planned("study:product", conditions=["threads", "isa"]))
    in_force = {run.variant.label: run.in_force for run in record.runs}
    assert [in_force[f"threads={count}"].threads["torch"] for count in (1, 2, 4)] == [1, 2, 4]
    done = {cell.setting for cell in record.cells if cell.condition == "isa" and cell.status == "done"}
    skipped = {cell.setting for cell in record.cells if cell.condition == "isa" and cell.status == "skipped"}
    assert done | skipped == {"sse4", "avx2"}
    expected = {"sse4": "DEFAULT", "avx2": "AVX2"}
    assert {setting: in_force[f"isa={setting}"].isa["aten"] for setting in done} == {s: expected[s] for s in done}


def test_a_condition_that_did_not_take_effect_is_skipped(study: Write) -> None:
    study("""
        def product(*, seed):
            import torch
            torch.set_num_threads(1)
            return {"x": 1}
    """)
    record = check(planned("study:product", conditions=["threads"]))
    found = cells(record, "product")
    assert found["none threads=1"].status == "done"
    assert (found["none threads=4"].status, found["none threads=4"].reason) == (
        "skipped",
        "asked for 4 threads, torch has 1",
    )


def test_promises_are_held_against_what_is_found(study: Write) -> None:
    study("""
        import time

        def drawn(*, seed):
            return {"x": time.time_ns()}
    """)
    promises = Promises(by_level={"none": {"rerun": parse("identical", ""), "hashseed": parse("any", "")}})
    found = cells(check(planned("study:drawn", conditions=["rerun", "hashseed", "order"]), promises), "drawn")
    assert (found["none rerun=process"].promise, found["none rerun=process"].kept) == ("identical", False)
    assert (found["none hashseed=1338"].promise, found["none hashseed=1338"].kept) == ("any", True)
    assert (found["none order=reversed"].promise, found["none order=reversed"].kept) == (None, None)


# when things go wrong


def test_one_experiment_that_fails_is_one_cell_and_the_rest_goes_on(study: Write) -> None:
    study("""
        import os, signal, sys

        def raises(*, seed):
            print("a clue")
            return {"x": 1 / 0}

        def exits(*, seed):
            sys.exit(3)

        def vanishes(*, seed):
            os._exit(7)

        def aborts(*, seed):
            print("last words")
            os.kill(os.getpid(), signal.SIGABRT)

        def killed(*, seed):
            os.kill(os.getpid(), signal.SIGKILL)

        def hangs(*, seed):
            while True:
                pass

        def chatty(*, seed):
            for _ in range(40000):
                print("x" * 99)
            raise ValueError("after 4 MB")

        def memory(*, seed):
            return {"x": bytearray(2**62)}

        def text(*, seed):
            return {"name": "mlp"}

        def good(*, seed):
            return {"x": seed}
    """)
    names = ("raises", "exits", "vanishes", "aborts", "killed", "hangs", "chatty", "memory", "text", "good")
    record = check(planned(*(f"study:{name}" for name in names), conditions=[]), time_limit=8.0)
    found = {name: cells(record, name)["none baseline="] for name in names}
    assert {name: cell.reason for name, cell in found.items()} == {
        "raises": "ZeroDivisionError: division by zero",
        "exits": "SystemExit: 3",
        "vanishes": "its process ended with exit status 7",
        "aborts": "its process was killed by SIGABRT",
        "killed": "its process was killed by SIGKILL (out of memory?)",
        "hangs": "stopped: it took longer than the time limit of 8 s (--time-limit)",
        "chatty": "ValueError: after 4 MB",
        "memory": "MemoryError",
        "text": "'name': a result must be a NumPy array, a torch tensor or a number, not str: 'mlp'",
        "good": "",
    }
    assert [name for name, cell in found.items() if cell.status == "done"] == ["good"]
    assert found["raises"].output.startswith("a clue\nTraceback")
    assert found["raises"].output.endswith("ZeroDivisionError: division by zero")
    assert found["aborts"].output == "last words"
    assert found["chatty"].output.endswith("ValueError: after 4 MB")
    assert len(found["chatty"].output) < 8192


def test_an_experiment_that_takes_no_device_is_skipped_on_a_gpu(study: Write) -> None:
    study("""
        def cpu_only(*, seed):
            return {"x": 1}
    """)
    plan = planned("study:cpu_only", conditions=["device"], device="cuda", no_gpu=None)
    found = {(cell.device, cell.condition): cell for cell in check(plan).cells}
    assert found["cpu", "baseline"].status == "done"
    assert (found["cuda", "baseline"].status, found["cuda", "baseline"].reason) == (
        "skipped",
        "takes no device: CPU only",
    )
    assert found["cuda", "device"].status == "skipped"
    assert found["cuda", "device"].comparison is None


def test_a_second_device_is_compared_with_the_first(study: Write) -> None:
    study("""
        def told(*, seed, device):
            return {"is_cpu": device == "cpu", "x": seed}
    """)
    plan = planned("study:told", conditions=["device"], device="auto", no_gpu=None)
    (across,) = [cell for cell in check(plan).cells if cell.condition == "device"]
    assert across.comparison is not None
    assert list(across.comparison.arrays) == ["is_cpu"]


def test_a_name_that_cannot_be_loaded_stops_the_check(study: Write) -> None:
    study("def f(*, seed): return {'x': 1}")
    with pytest.raises(ExperimentError, match=r"^module 'study' has no function 'g'; it has f$"):
        check(planned("study:g"))


def test_a_module_that_cannot_be_imported_stops_the_check_with_its_traceback(study: Write) -> None:
    study("import module_that_is_not_there")
    with pytest.raises(ExperimentError, match=r"^ModuleNotFoundError: .*module_that_is_not_there.*\n(.*\n)*Traceback"):
        check(planned("study:f"))


def test_a_crash_in_a_later_process_is_a_cell(study: Write) -> None:
    study("""
        import os
        if os.environ.get("PYTHONHASHSEED") == "1338":
            raise RuntimeError("only there")

        def f(*, seed):
            return {"x": 1}
    """)
    found = cells(check(planned("study:f", conditions=["hashseed"])), "f")
    assert found["none baseline="].status == "done"
    assert (found["none hashseed=1338"].status, found["none hashseed=1338"].reason) == (
        "failed",
        "RuntimeError: only there",
    )


# interrupted and resumed


def test_a_check_that_was_stopped_repeats_only_what_is_missing(study: Write) -> None:
    study("""
        from pathlib import Path

        def counted(*, seed):
            with Path("calls.txt").open("a") as file:
                file.write("x")
            return {"x": 1}

        def other(*, seed):
            return {"x": 2}
    """)
    header = Header(plan=planned("study:counted", "study:other", conditions=["hashseed"]), environment=HERE)
    partial = Partial.start(Path("out"), header)

    def stop(tick: Tick) -> None:
        if tick.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(partial, slots=1, time_limit=60.0, tick=stop)
    assert Path("calls.txt").read_text() == "x"
    with pytest.raises(RecordError, match="is missing: use --resume"):
        make_record(partial, Path("out"), Promises())
    assert not Path("out").exists()
    assert latest(Path()) == Path("out")

    resumed = Partial.resume(Path("out"), header)
    ticks: list[Tick] = []
    run(resumed, slots=1, time_limit=60.0, tick=ticks.append)
    assert [(tick.done, tick.total, tick.before) for tick in ticks] == [(3, 4, 2), (4, 4, 2)]
    assert Path("calls.txt").read_text() == "xx"
    record = make_record(resumed, Path("out"), Promises())
    assert all(cell.status == "done" for cell in record.cells)
    assert not Path("out.partial").exists()


def test_only_the_same_question_can_be_resumed(study: Write) -> None:
    study("def f(*, seed): return {'x': 1}")
    header = Header(plan=planned("study:f"), environment=HERE)
    with pytest.raises(RecordError, match=r"out.partial: no unfinished check"):
        Partial.resume(Path("out"), header)
    with pytest.raises(RecordError, match="no unfinished check"):
        latest(Path())
    Partial.start(Path("out"), header)
    with pytest.raises(RecordError, match=r"exists already, .*--resume"):
        Partial.start(Path("out"), header)
    other = Header(plan=planned("study:f", seed=1), environment=HERE)
    with pytest.raises(RecordError, match="other experiments, levels, conditions or seed"):
        Partial.resume(Path("out"), other)
    elsewhere = Header(plan=header.plan, environment=msgspec.structs.replace(HERE, memory=1))
    with pytest.raises(RecordError, match=r"the environment has changed since \(memory\): start again"):
        Partial.resume(Path("out"), elsewhere)
    Path("out.partial/plan.json").write_text("{")
    with pytest.raises(RecordError, match=r"plan.json: expected the plan of an unfinished check"):
        Partial.resume(Path("out"), header)


CUT_SHORT = {"empty": b"", "no header": b"cut short", "no cell": dumps({}, {"message": "{}"})}


@pytest.mark.parametrize("kept", CUT_SHORT.values(), ids=CUT_SHORT)
def test_what_was_cut_short_on_the_disk_is_done_again(study: Write, kept: bytes) -> None:
    study("def f(*, seed): return {'x': 1}")
    header = Header(plan=planned("study:f", conditions=[]), environment=HERE)
    partial = Partial.start(Path("out"), header)
    partial.save(header.plan.jobs[0], "study:f", kept)
    assert partial.missing(header.plan.jobs[0]) == header.plan.jobs[0]
    run(partial, slots=1, time_limit=60.0, tick=ignore)
    assert partial.missing(header.plan.jobs[0]) is None


def test_half_a_job_is_done_again_whole_since_what_ran_before_may_matter(study: Write) -> None:
    study("""
        calls = 0

        def first(*, seed):
            global calls
            calls += 1
            return {"x": 1}

        def second(*, seed):
            return {"calls": calls}
    """)
    header = Header(plan=planned("study:first", "study:second", conditions=["hashseed"]), environment=HERE)
    partial = Partial.start(Path("out"), header)

    def stop(tick: Tick) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(partial, slots=1, time_limit=60.0, tick=stop)
    run(Partial.resume(Path("out"), header), slots=1, time_limit=60.0, tick=ignore)
    found = cells(make_record(partial, Path("out"), Promises()), "second")["none hashseed=1338"]
    assert found.comparison is not None
    assert found.comparison.relation.value == "identical"


def test_a_source_that_changed_cannot_be_resumed(study: Write) -> None:
    plan = planned("study:f")
    Partial.start(Path("out"), Header(plan=plan, environment=HERE, sources={"study:f": "1"}))
    with pytest.raises(RecordError, match=r"the source of study:f has changed since: start again"):
        Partial.resume(Path("out"), Header(plan=plan, environment=HERE, sources={"study:f": "2"}))


def test_what_is_left_of_a_record_that_was_being_written_is_swept_up(study: Write) -> None:
    header = Header(plan=planned("study:f"), environment=HERE)
    Partial.start(Path("out"), header)
    Path(".out.0123abcd.part").mkdir()
    Partial.resume(Path("out"), header)
    assert not Path(".out.0123abcd.part").exists()


def test_a_check_that_is_finished_is_not_resumed(study: Write) -> None:
    header = Header(plan=planned("study:f"), environment=HERE)
    Partial.start(Path("out"), header)
    Path("out").mkdir()
    with pytest.raises(RecordError, match="out exists already: its check is finished"):
        Partial.resume(Path("out"), header)


def test_an_experiment_that_forks_is_its_own_affair(study: Write) -> None:
    study("""
        import os, sys

        def child_exits(*, seed):
            if os.fork() == 0:
                sys.exit(0)
            os.wait()
            return {"x": 1}

        def child_returns(*, seed):
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
            return {"is_parent": pid > 0}

        def waits_for_all(*, seed):
            try:
                while True:
                    os.wait()
            except ChildProcessError:
                return {"x": 1}
    """)
    names = ("child_exits", "child_returns", "waits_for_all")
    record = check(planned(*(f"study:{name}" for name in names), conditions=[]), time_limit=20.0)
    assert [(cell.status, cell.reason) for cell in record.cells] == [("done", "")] * 3


def test_an_experiment_cannot_take_the_check_down_with_it(study: Write) -> None:
    study("""
        import os

        def garbage(*, seed):
            for fd in range(3, 10):
                try:
                    os.write(fd, b"\\0\\0\\0\\4garb")
                except OSError:
                    pass
            return {"x": 1}

        def deaf(*, seed):
            os.closerange(3, 1024)
            return {"x": 1}

        def realtime(*, seed):
            os.kill(os.getpid(), 35)

        def wordy(*, seed):
            raise ValueError("\\x1b]0;title" + "z" * 100_000 + os.getcwd())

        def reserved(*, seed):
            return {"__metadata__": 1}

        def good(*, seed):
            return {"x": 1}
    """)
    names = ("garbage", "deaf", "realtime", "wordy", "reserved", "good")
    record = check(planned(*(f"study:{name}" for name in names), conditions=[]), time_limit=20.0)
    found = {name: cells(record, name)["none baseline="] for name in names}
    assert found["garbage"].status == "done"
    assert "channel" in found["deaf"].reason or "exit status" in found["deaf"].reason
    assert found["realtime"].reason == "its process was killed by signal 35"
    assert found["wordy"].reason.startswith("ValueError: ]0;titlezzz")
    assert len(found["wordy"].reason) <= 300
    assert str(Path.cwd()) not in found["wordy"].output + found["wordy"].reason
    assert "the key '__metadata__' is one that safetensors keeps" in found["reserved"].reason
    assert found["good"].status == "done"


def test_a_hash_seed_of_the_users_own_is_no_part_of_the_check(study: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    study("""
        def hashed(*, seed):
            return {"hash": hash("one")}
    """)
    monkeypatch.setenv("PYTHONHASHSEED", "1338")
    found = cells(check(planned("study:hashed", conditions=["hashseed"])), "hashed")["none hashseed=1338"]
    assert found.comparison is not None
    assert found.comparison.relation.value == "different"


def test_a_plan_needs_a_level() -> None:
    with pytest.raises(ConfigError, match="no level was asked for"):
        planned("a:f", levels=[])


def test_a_dirty_tree_may_be_resumed(study: Write) -> None:
    source = environment.Source(commit="0" * 40, clean=True)
    clean = Header(plan=planned("study:f"), environment=msgspec.structs.replace(HERE, source=source))
    dirty = msgspec.structs.replace(source, clean=False)
    Partial.start(Path("out"), clean)
    now = Header(plan=clean.plan, environment=msgspec.structs.replace(HERE, source=dirty))
    assert Partial.resume(Path("out"), now).header == now


def test_a_record_that_is_there_is_not_overwritten(study: Write) -> None:
    study("def f(*, seed): return {'x': 1}")
    Path("out").mkdir()
    with pytest.raises(RecordError, match=r"out exists already, and nothing is overwritten: choose another --out"):
        check(planned("study:f"))


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cannot write .*file/out\.partial: Not a directory"):
        check(planned("a:f"), out=str(tmp_path / "file" / "out"))


KILLED = """
    import subprocess, sys, time
    from pathlib import Path

    def slow(*, seed):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        Path("pids.txt").write_text(f"{__import__('os').getpid()} {child.pid}")
        time.sleep(60)
        return {"x": 1}
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_however_the_check_ends(study: Write, tmp_path: Path, how: signal.Signals) -> None:
    study(KILLED)
    command = [sys.executable, "-m", "seedbed", "repro", "study:slow", "--level", "none", "--vary", "rerun"]
    process = subprocess.Popen([*command, "--out", "out", "--jobs", "1"], stderr=subprocess.PIPE, text=True)
    pids = _wait_for(tmp_path / "pids.txt")
    os.kill(process.pid, how)
    _, error = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    assert ("interrupted; to go on" in error) == (how != signal.SIGKILL)
    assert not _alive_after(pids, seconds=5.0)
    assert (tmp_path / "out.partial").exists()
    assert not (tmp_path / "out").exists()


def _wait_for(path: Path) -> list[int]:
    for _ in range(600):
        if path.exists() and len(pids := path.read_text().split()) == 2:
            return [int(pid) for pid in pids]
        time.sleep(0.1)
    raise AssertionError(f"{path} did not appear")


def _alive_after(pids: list[int], seconds: float) -> list[int]:
    end = time.monotonic() + seconds
    while (alive := [pid for pid in pids if _alive(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    return alive


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_record_can_be_read_and_holds_the_baselines_arrays(study: Write) -> None:
    study("""
        import numpy as np

        def f(*, seed):
            return {"model": {"w": np.linspace(0, 1, 7, dtype=np.float32)}, "loss": [0.5, 0.25]}
    """)
    record = check(planned("study:f"))
    stored: Stored = read(Path("out"))
    assert stored.record == record
    (baseline,) = record.baselines()
    assert {key: bits.dtype for key, bits in stored.results(baseline).items()} == {
        "model/w": "float32",
        "loss": "float64",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_is_full_is_one_line(study: Write, tmp_path: Path) -> None:
    study("""
        import numpy as np

        def large(*, seed):
            return {"x": np.arange(100_000.0)}
    """)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False)  # noqa: S607
    if mount.returncode:
        pytest.skip("this container may not mount anything")
    try:
        with pytest.raises(RecordError, match=r"cannot write .*safetensors: No space left on device$"):
            check(planned("study:large", conditions=[]), out=str(disk / "out"))
        assert not (disk / "out").exists()
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607
