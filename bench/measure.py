"""The benchmarks against the plain stack. Each returns the rows of its CSV; the same code runs on both sides."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accounts import accounts
from client import Cell, Failed, Times, User
from memory import incomplete, of_users, pss, wait_until_merged
from ours import Merged, Ours, Preloaded, PreloadedTorch
from plain import Plain
from stack import Stack

Row = dict[str, Any]

SIDES: dict[str, type[Stack]] = {"plain": Plain, "hubwright": Ours}

PATIENT = {"start_timeout": 600, "http_timeout": 600}
"""Spawner traits of both sides where many start at once; with the defaults (60 s, 30 s) the plain stack gives up."""


_SINGLE_USER = "hubwright.engines.local.singleuser"
"""Hubwright's subclass of JupyterHub's server extension, loaded in its place."""


@dataclass(frozen=True)
class Plan:
    """How much to measure, on which sides, and where logs go."""

    sides: tuple[str, ...] = ("plain", "hubwright")
    one: int = 20
    many: int = 60
    memory: int = 40
    starts: int = 5
    visits: int = 5
    settle: float = 10
    deadline: float = 600
    logs: Path | None = None
    default_timeouts: bool = False


PANDAS = Cell("import pandas, matplotlib; pandas.Series([40, 2]).sum().item()", "42")
TORCH = Cell("import torch; int((torch.ones(6, 7) @ torch.ones(7, 1)).sum())", "42")


def say(text: str) -> None:
    """Tell progress on the terminal."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def one(plan: Plan) -> list[Row]:
    """Fresh users one at a time, both services running, sides alternating; one discarded user a side before."""
    rows: list[Row] = []
    with accounts((plan.one + 1) * len(plan.sides)) as made, ExitStack() as running:
        names = list(made)
        stacks = [running.enter_context(SIDES[side](names, log_to=plan.logs)) for side in plan.sides]
        tokens = {stack.name: stack.tokens(names) for stack in stacks}
        answers = {}
        for number in range(plan.one + 1):
            for turn in range(len(stacks)):
                stack = stacks[(turn + number) % len(stacks)]
                name = names.pop()
                times = asyncio.run(_first_result(stack, name, tokens[stack.name][name], 120))
                if number == 0:
                    answers[stack.name] = stack.answers(name, tokens[stack.name][name])
                else:
                    rows.append({"side": stack.name, "user": name, **asdict(times)})
                    say(f"one: {stack.name} {number}/{plan.one}: {times.result:.2f} s")
                stack.stop_server(name)
            if number == 0:
                _assert_alike(answers)
    return rows


def many(plan: Plan) -> list[Row]:
    """Fresh users all at once, one service at a time; a failure is a row with an error."""
    rows: list[Row] = []
    for side in plan.sides:
        with accounts(plan.many) as made:
            traits = {} if plan.default_timeouts else PATIENT
            with SIDES[side](list(made), spawner=traits, log_to=plan.logs) as stack:
                tokens = stack.tokens(list(made))
                say(f"many: {side}: {plan.many} users at once")
                rows += asyncio.run(_all(stack, tokens, plan.deadline))
    return rows


def memory(plan: Plan) -> list[Row]:
    """Proportional set sizes with one idle kernel a user, one service at a time, in MiB.

    `users` are processes that run as the users, `shared` those that exist for the users' servers besides (fork
    server and its like), `per_user` the sum of both over the users. `service` is all else: hub, proxy, supervisor.
    `again` counts how often a user was started again because his server or kernel had failed.
    """
    sides = {side: SIDES[side] for side in plan.sides}
    if Ours in sides.values():
        sides[Merged.name] = Merged
    return _sizes(plan, sides, Cell())


def _sizes(plan: Plan, sides: dict[str, type[Stack]], cell: Cell) -> list[Row]:
    rows: list[Row] = []
    for side, kind in sides.items():
        with (
            accounts(plan.memory) as made,
            kind(list(made), spawner=PATIENT, log_to=plan.logs) as stack,
        ):
            again = _start_all(stack, list(made), plan, cell)
            if kind is Merged:
                wait_until_merged()
            mine, shared = of_users(list(made)), stack.shared()
            known = {process.pid for process in [*mine, *shared]}
            others = [process for process in stack.whole() if process.pid not in known]
            sizes = [sum(map(pss, group)) / 2**20 for group in (mine, shared, others)]
            row = {"side": side, "count": plan.memory, "processes": len(mine), "again": again}
            row |= {"users": sizes[0], "shared": sizes[1], "service": sizes[2]}
            rows.append(row | {"per_user": (sizes[0] + sizes[1]) / plan.memory})
            say(f"memory: {side}: {rows[-1]['per_user']:.1f} MiB a user")
    return rows


def start(plan: Plan) -> list[Row]:
    """Seconds from the command to the login page, from the second start on."""
    rows: list[Row] = []
    with accounts(1) as made, ExitStack() as running:
        stacks = [running.enter_context(SIDES[side](list(made), log_to=plan.logs)) for side in plan.sides]
        for number in range(1, plan.starts + 1):
            for stack in stacks:
                stack.halt()
                rows.append({"side": stack.name, "run": number, "seconds": stack.launch()})
                say(f"start: {stack.name} {number}/{plan.starts}: {rows[-1]['seconds']:.2f} s")
    return rows


def browser(plan: Plan) -> list[Row]:
    """Chromium: each fresh user's first visit with a fresh profile, then a second one after his server was stopped."""
    from browser import NOTEBOOK_FIRST, visit

    rows: list[Row] = []
    with accounts(plan.visits * len(plan.sides), login=True) as made, ExitStack() as running:
        people = list(made.items())
        stacks = [
            running.enter_context(SIDES[side](list(made), spawner=NOTEBOOK_FIRST, log_to=plan.logs))
            for side in plan.sides
        ]
        for number in range(1, plan.visits + 1):
            for turn in range(len(stacks)):
                stack = stacks[(turn + number) % len(stacks)]
                name, password = people.pop()
                with tempfile.TemporaryDirectory(prefix="hubwright-bench-profile-") as profile:
                    for which in ("first", "second"):
                        seen = visit(stack, name, password, Path(profile))
                        rows.append({"side": stack.name, "user": name, "visit": which, **asdict(seen)})
                        say(f"browser: {stack.name} {number}/{plan.visits}, {which} visit: {seen.output:.2f} s")
                        stack.stop_server(name)
    return rows


def imports(plan: Plan) -> list[Row]:
    """The first cell of fresh users, who have their server already: it imports pandas and matplotlib.

    Both sides' kernels are of the same environment. `kernel` is from asking for a kernel to the cell's result, `cell`
    from sending the cell, when the kernel is there.
    """
    return _first_cells(plan, {"plain": Plain, "hubwright": Preloaded}, PANDAS)


def torch(plan: Plan) -> list[Row]:
    """As `imports`, with PyTorch, which must be installed where the benchmark runs."""
    return _first_cells(plan, {"plain": Plain, "hubwright": PreloadedTorch}, TORCH)


def _first_cells(plan: Plan, kinds: dict[str, type[Stack]], cell: Cell) -> list[Row]:
    rows: list[Row] = []
    with accounts((plan.one + 1) * len(plan.sides)) as made, ExitStack() as running:
        names = list(made)
        stacks = [running.enter_context(kinds[side](names, log_to=plan.logs)) for side in plan.sides]
        tokens = {stack.name: stack.tokens(names) for stack in stacks}
        for number in range(plan.one + 1):
            for turn in range(len(stacks)):
                stack = stacks[(turn + number) % len(stacks)]
                name = names.pop()
                kernel, first = asyncio.run(_first_cell(stack, name, tokens[stack.name][name], cell))
                stack.stop_server(name)
                if number:
                    rows.append({"side": stack.name, "user": name, "kernel": kernel, "cell": first})
                    say(f"imports: {stack.name} {number}/{plan.one}: {kernel:.3f} s, the cell {first:.3f} s")
    return rows


def imported(plan: Plan) -> list[Row]:
    """As `memory`, with pandas imported by every user's kernel."""
    kinds = {"plain": Plain, "hubwright": Preloaded}
    return _sizes(plan, {side: kinds[side] for side in plan.sides}, PANDAS)


ALL: dict[str, Callable[[Plan], list[Row]]] = {
    "one": one,
    "many": many,
    "memory": memory,
    "start": start,
    "browser": browser,
    "imports": imports,
    "imported": imported,
}
MORE: dict[str, Callable[[Plan], list[Row]]] = {"torch": torch}
"""What is measured only when it is named."""


async def _first_result(stack: Stack, name: str, token: str, deadline: float, cell: Cell = Cell()) -> Times:  # noqa: B008
    async with User(stack.url, name, token, cell) as user:
        return await user.first_result(deadline)


async def _first_cell(stack: Stack, name: str, token: str, cell: Cell) -> tuple[float, float]:
    async with User(stack.url, name, token, cell) as user:
        await user.start()
        return await user.first_cell()


async def _all(stack: Stack, tokens: dict[str, str], deadline: float) -> list[Row]:
    spent = _own_cpu()
    tasks = [asyncio.create_task(_row(stack, name, token, deadline)) for name, token in tokens.items()]
    for number, task in enumerate(asyncio.as_completed(tasks), 1):
        row = await task
        if number % 10 == 0 or number == len(tasks) or row["error"]:
            say(f"many: {stack.name} {number}/{len(tasks)}: {row['error'] or format(row['result'], '.2f') + ' s'}")
    say(f"many: {stack.name}: the measuring client itself took {_own_cpu() - spent:.2f} CPU-seconds")
    return [task.result() for task in tasks]


async def _row(stack: Stack, name: str, token: str, deadline: float) -> Row:
    row: Row = {"side": stack.name, "user": name, "ready": "", "session": "", "result": "", "error": ""}
    try:
        return row | asdict(await _first_result(stack, name, token, deadline))
    except Failed as error:
        return row | {"error": str(error)}


async def _few_at_a_time(stack: Stack, tokens: dict[str, str], deadline: float, cell: Cell) -> list[str]:
    """Start the users of `tokens`, four at a time; return those who failed."""
    turn = asyncio.Semaphore(4)
    failed = []

    async def open_one(name: str) -> None:
        async with turn:
            try:
                await _first_result(stack, name, tokens[name], deadline, cell)
            except Failed as error:
                say(f"memory: {error}")
                failed.append(name)

    await asyncio.gather(*(open_one(name) for name in tokens))
    return failed


def _start_all(stack: Stack, names: list[str], plan: Plan, cell: Cell) -> int:
    """Start every user, and those again who failed or have lost a process; return how many that were.

    Raises:
        RuntimeError: some still failed after four times.
    """
    tokens, again = stack.tokens(names), 0
    left = names
    for _ in range(4):
        failed = asyncio.run(_few_at_a_time(stack, {name: tokens[name] for name in left}, plan.deadline, cell))
        time.sleep(plan.settle)
        left = sorted({*failed, *incomplete(names)})
        if not left:
            return again
        say(f"memory: {stack.name}: to be started again: {', '.join(left)}")
        again += len(left)
        for name in left:
            stack.stop_server(name)
    raise RuntimeError(f"{stack.name}: {', '.join(left)} did not start.")


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _assert_alike(answers: dict[str, dict[str, Any]]) -> None:
    """Both sides' servers must say the same of themselves, Hubwright's own extensions aside."""
    for answer in answers.values():
        same = ("jupyterhub" if name == _SINGLE_USER else name for name in answer["server extensions"])
        answer["server extensions"] = sorted(same)
        ours = [name for name in answer["server extensions"] if name.startswith("hubwright")]
        answer["server extensions"] = [name for name in answer["server extensions"] if name not in ours]
        answer["lab extensions"] = [one for one in answer["lab extensions"] if one[0] != "hubwright"]
        if not answer["server extensions"]:
            raise RuntimeError("No server told which extensions it loaded; see the logs.")
    if len(answers) == 2:
        (left, first), (right, second) = answers.items()
        for key in first:
            if first[key] != second[key]:
                raise RuntimeError(f"{key} differs: {left} has {first[key]}, {right} has {second[key]}")
        say(f"one: both sides answer alike: {', '.join(first)}")
